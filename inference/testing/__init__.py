"""Runs in tests: a fake pipeline behind everything else of this project, without torch and without a model.

``running`` serves with it for the time of a ``with`` block, the fixture ``fake_pipeline`` of
``inference.testing.pytest_plugin`` and ``FakePipelineMixin`` for the time of a test. docs/testing.md has examples.
"""

from inference.testing.cases import FakePipelineMixin
from inference.testing.fake_pipeline import FakePipeline
from inference.testing.running import running

__all__ = ["FakePipeline", "FakePipelineMixin", "running"]
