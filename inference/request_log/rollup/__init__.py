"""Roll-ups: the request log by minute, hour and day, with quantiles that can be merged.

In: the entries of each batch of the log. Out: rows of ``RollUp``, and what the dashboard reads of them. A batch adds
one row, a delta, in its own transaction; every few seconds a web process merges those of all: see
``docs/decisions/0024-roll-ups.md``.
"""
