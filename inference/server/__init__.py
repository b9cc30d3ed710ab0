"""Runs in web processes, below ASGI: makes Daphne safe to expose.

In: bytes from clients. Out: limits on what they send, how slowly, and what they leave unread; refusals under overload
before a request is parsed; a stop that loses no request. Where our routes are mounted below a prefix, limits and
refusals are for requests below it (``mount.py``). No effect under other ASGI servers.
"""
