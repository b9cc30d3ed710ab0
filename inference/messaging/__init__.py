"""Runs in all processes: messages between web processes and workers, and the channel layer that carries them.

In: message objects. Out: equal objects at the receiver, at most once.
"""
