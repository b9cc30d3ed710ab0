"""Tasks whose input is an image alone."""

from typing import Any

from inference.backends.transformers.images import read_image
from inference.backends.transformers.stacked import Stacked
from inference.messaging.messages import Job


class ImageTask(Stacked):
    def read(self, job: Job) -> Any:
        return read_image(job.input)
