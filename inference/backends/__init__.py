"""Runs in workers: what loads a model and runs batches.

In: settings, then jobs. Out: a description and, for each job, JSON or an error. ``base`` has the protocols that
``inference.worker`` is written against; each backend is a package beside it, or anywhere else. ``loading`` imports the
one that the setting ``INFERENCE_BACKEND`` names.
"""
