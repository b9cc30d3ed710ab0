"""From the bytes of an image to what preprocessing takes."""

import io
import warnings

from PIL import Image, ImageOps, UnidentifiedImageError

from inference.errors import Invalid
from inference.tasks.media import IMAGES

MOST_PIXELS = 40_000_000
"""Beyond any camera's photograph; decoded, it takes 120 MB. Known from the header, before anything is decoded."""
FORMATS = [name.upper() for name in IMAGES]
WHITE = (255, 255, 255, 255)


def read_image(data: bytes) -> Image.Image:
    """The image upright, in RGB, transparent parts on white; of an animation the first frame.

    Raises:
        Invalid: it is damaged, of another format, or has too many pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, and Pillow's own limit, which is higher than this one
            with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
                _check_size(*opened.size)
                return _in_rgb(ImageOps.exif_transpose(opened))
    except Image.DecompressionBombError as error:
        raise Invalid(f"The image is too large: {error}.") from error
    except UnidentifiedImageError:
        raise Invalid(f"The image cannot be read; it must be one of {', '.join(IMAGES)}, and complete.") from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, AttributeError) as error:
        # What Pillow's decoders raise for damaged files is not documented, and differs from format to format.
        raise Invalid(f"The image is damaged: {str(error).strip().rstrip('.') or type(error).__name__}.") from error


def _check_size(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise Invalid(
            f"The image has {width} × {height} pixels; {MOST_PIXELS:,} in all are allowed, so send a smaller one."
        )


def _in_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":  # 16 bits a pixel: conversion would clip all above 255
        image = image.convert("I").point(lambda value: value / 257).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, WHITE), image)
    return image.convert("RGB")
