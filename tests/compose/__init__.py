"""``make compose-check``: docker-compose.yml on a real engine, under load, while containers are killed and stopped."""
