"""Images for tests of tasks, and what holds for all of these tasks."""

import base64
import io
import random
from collections.abc import Callable, Sequence
from typing import Any

from inference.backends.base import BatchedPipeline
from inference.errors import Invalid
from tests.backends.transformers.running import Asked, assert_equal, plain, run

SIZES = ((32, 32), (40, 30), (90, 20), (33, 64), (8, 8))
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
BROKEN = b"\x89PNG\r\n\x1a\n" + bytes(40)


def picture(seed: int = 0, size: tuple[int, int] = (40, 30), kind: str = "PNG") -> bytes:
    """Noise, of which models make other answers for each seed."""
    from PIL import Image  # noqa: PLC0415 - comes with the worker

    data = random.Random(seed).randbytes(size[0] * size[1] * 3)
    return stored(Image.frombytes("RGB", size, data), kind)


def stored(image: Any, kind: str = "PNG", **options: Any) -> bytes:
    image.save(file := io.BytesIO(), kind, **options)
    return file.getvalue()


def pictures(count: int) -> list[bytes]:
    """Of mixed sizes and formats."""
    return [picture(seed, SIZES[seed % len(SIZES)], FORMATS[seed % len(FORMATS)]) for seed in range(count)]


def shown(data: bytes) -> Any:
    """As the stock pipeline takes it."""
    from PIL import Image  # noqa: PLC0415

    return Image.open(io.BytesIO(data)).convert("RGB")


def is_opaque(text: str) -> bool:
    """Of an image in base64. The stock pipelines drop transparency, and show what is below it."""
    from PIL import Image  # noqa: PLC0415

    return not Image.open(io.BytesIO(base64.b64decode(text))).has_transparency_data


def decoded(text: str) -> Any:
    """The image that an answer has as PNG in base64."""
    from PIL import Image  # noqa: PLC0415

    image = Image.open(io.BytesIO(base64.b64decode(text)))
    assert (image.format, image.mode) == ("PNG", "L")
    return image


def difference(one: Any, other: Any) -> float:
    """Of two grey images of one size, the mean over all pixels; 255 is black and white."""
    from PIL import ImageChops, ImageStat  # noqa: PLC0415

    assert one.size == other.size
    return float(ImageStat.Stat(ImageChops.difference(one, other)).mean[0])


def check_batch(
    pipeline: BatchedPipeline, asked: Sequence[Asked], expected: Callable[[Any, dict[str, Any]], Any]
) -> list[Any]:
    """Answers are the expected ones in one batch, with a broken image among them, and alone; returned are those."""
    middle = len(asked) // 2
    broken = (asked[0][0] | {"image": BROKEN}) if isinstance(asked[0][0], dict) else BROKEN
    together = run(pipeline, [*asked[:middle], (broken, asked[0][1]), *asked[middle:]])
    error = together.pop(middle)
    assert isinstance(error, Invalid)
    assert error.message.startswith("The image ")
    for (given, parameters), answer in zip(asked, together, strict=True):
        assert_equal(answer, plain(expected(given, parameters)))
    assert_equal(run(pipeline, asked[:1]), together[:1])
    return together
