"""Runs in web processes, in Django's threads: the pages of the Django admin.

In: requests of staff. Out: the request log, read from the database.
"""

from inference.admin import request_log

__all__ = ["request_log"]
