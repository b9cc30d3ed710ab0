"""For Django's test cases."""

from unittest import TestCase

from inference.testing.fake_pipeline import FakePipeline
from inference.testing.running import running


class FakePipelineMixin(TestCase):
    """Before ``django.test``'s own classes: a fake pipeline runs during each test, as ``self.fake_pipeline``."""

    fake_pipeline: FakePipeline

    def make_fake_pipeline(self) -> FakePipeline:
        """Override it for another task, or other answers."""
        return FakePipeline()

    def setUp(self) -> None:
        super().setUp()
        self.fake_pipeline = self.enterContext(running(self.make_fake_pipeline()))
