"""Runs in workers: text generation, one token of every running text per step of the model.

In: tokenised prompts. Out: tokens, and at the end of a text what the stock pipeline returns for it.
"""
