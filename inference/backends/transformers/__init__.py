"""Runs in workers, on the model's and the tokenizer's threads: pipelines of the transformers library.

In: a Hub id or folder, then jobs. Out: what ``transformers.pipeline`` returns for them, as JSON. The only package that
imports torch or transformers, when ``backend.load`` is called or ``manage.py check --deploy`` runs.
"""
