"""Runs in web processes: how clients write requests and read answers, one module or package per dialect.

In: bytes and headers, or frames. Out: a ``Query``, and for its outcome bytes and headers, or frames. A dialect knows
``inference.serving`` and ``inference.tasks``; no other package reads or writes its fields.
"""
