"""``runworker inference``, ``prune_requests``, ``usage``, ``create_first_admin``."""
