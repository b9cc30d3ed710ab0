"""The pages of the Django admin. Runs in web processes, in Django's threads.

In: requests of staff. Out: pages of the request log, of usage, of keys and the dashboard, read from the database, and
of what the process does now.
"""

from inference.admin import api_keys, dashboard, live, request_log, usage

__all__ = ["api_keys", "dashboard", "live", "request_log", "usage"]
