"""Admits requests and decides which worker runs which job. Runs in web processes, on the event loop.

In: calls, that is the inputs of one request with their deadline. Out: an answer or an error for each input. The state
of workers is known from their messages (``inference.messaging``).
"""
