"""Continuous batching of causal language models: texts join and leave the running batch between two tokens.

See docs/decisions/0006-own-decode-loop.md for why it is written here.
"""
