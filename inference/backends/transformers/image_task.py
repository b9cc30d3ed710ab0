"""Tasks whose input is an image alone."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from inference.backends.transformers.images import read_image
from inference.backends.transformers.stacked import Stacked
from inference.errors import Invalid
from inference.messaging.messages import Job

logger = logging.getLogger(__name__)


class ImageTask(Stacked):
    most_in_pass = 600
    """Four images of 224 × 224. With more, activations of convolutions exceed 32 MB, and the C library returns such
    memory to the system, which clears it for the next layer: 32 images took twice as long as 8 times 4."""

    def read(self, job: Job) -> Any:
        return read_image(job.input)

    def preprocess(self, given: Any, parameters: dict[str, Any]) -> Any:
        with preprocessing(given):
            return super().preprocess(given, parameters)


@contextmanager
def preprocessing(image: Any) -> Iterator[None]:
    """Raises ``Invalid`` for an image that the model cannot be given."""
    try:
        yield
    except (ValueError, ZeroDivisionError) as error:
        # Other images are preprocessed, so it is this one: proportions are kept, and a side becomes 0 pixels.
        logger.info("An image of %s × %s pixels was not preprocessed: %s", image.width, image.height, error)
        raise Invalid(
            f"The image has {image.width} × {image.height} pixels, which this model cannot be given; "
            "send a larger or less narrow one."
        ) from error
