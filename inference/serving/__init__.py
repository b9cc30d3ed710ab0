"""Runs in web processes, on the event loop: the one way in for requests of every protocol.

In: a request's context and its query. Out: one JSON output per input, or an error; and a row of the request log.
"""
