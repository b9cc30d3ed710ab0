"""Runs in workers: texts that a decoder writes about what an encoder has read, one token of every text per step.

In: sources (tokenised texts, or features of media). Out: tokens, and at the end of a text what the pipelines of
transformers 4 returned for it; transformers 5 has none for these tasks.
"""
