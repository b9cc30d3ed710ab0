"""What can go wrong before a worker is ready."""


class LoadFailed(Exception):
    """The pipeline cannot be served. The message is one sentence for the operator."""
