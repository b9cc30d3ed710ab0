"""Runs in workers: which jobs run together, what that costs, and how a failed batch is divided.

In: tokenised jobs. Out: calls of the backend, and its outcome for each job.
"""
