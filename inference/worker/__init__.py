"""Runs in workers: takes jobs from the channel layer, runs them, and answers each exactly once.

In: messages of web processes. Out: events and one closing entry per job. All of it runs on the event loop, except the
tokenizer and the model, which have threads of their own.
"""
