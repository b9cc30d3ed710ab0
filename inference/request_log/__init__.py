"""Runs in web processes: one database row per request, whatever became of it.

In: finished requests, on the event loop. Out: rows, written in batches by a thread of its own.
"""
