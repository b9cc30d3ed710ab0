"""Runs in workers: which jobs run together, what that costs, and what becomes of a batch that fails.

In: tokenised jobs. Out: calls of the backend, and its outcomes job by job.
"""
