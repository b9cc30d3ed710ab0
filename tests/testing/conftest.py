from inference.testing.pytest_plugin import fake_pipeline

__all__ = ["fake_pipeline"]
