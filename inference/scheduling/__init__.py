"""Runs in web processes, on the event loop: which requests are admitted, and which worker gets which job.

In: calls, that is the inputs of one request with their deadline. Out: an answer or an error for each input. Workers
are known by what they say over ``inference.messaging``.
"""
