"""Who asks, and how much they may: keys and limits. Runs in web processes.

In: the credentials of a request, and the table of keys in the database. Out: a principal, or a refusal.

``Access`` (``checking.py``) is what the other packages use. It looks keys up in the ``KeyTable`` in memory, which the
thread of a ``KeyReader`` keeps up to date.
"""
