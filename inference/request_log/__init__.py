"""The request log, one database row per request whatever its outcome, and usage by key and day. Runs in web processes.

In: finished requests, on the event loop. Out: rows, written in batches by a thread of their own.
"""
