"""The pages of the Django admin. Runs in web processes, in Django's threads.

In: requests of staff. Out: pages of the request log and of usage, read from the database.
"""

from inference.admin import request_log, usage

__all__ = ["request_log", "usage"]
