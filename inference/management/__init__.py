"""Runs in processes of its own: the commands of ``manage.py``."""
