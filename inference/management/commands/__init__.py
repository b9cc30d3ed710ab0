"""``runworker inference``, ``prune_requests``, ``create_first_admin``."""
