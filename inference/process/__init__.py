"""Runs in all processes: what a web process and a worker process start, and in which order they stop and drain."""
