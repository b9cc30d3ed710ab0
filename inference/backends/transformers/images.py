"""From the bytes of an image to what preprocessing takes, and back."""

import base64
import io
import warnings
from typing import Any

from PIL import ExifTags, Image, UnidentifiedImageError

from inference.backends.transformers.image_files import check_parts, check_scans
from inference.errors import InferenceError, Invalid
from inference.tasks.media import IMAGES

MOST_PIXELS = 40_000_000
"""Beyond any camera's photograph; decoded, it takes 160 MB. Known from the header, before anything is decoded."""
MOST_STRETCHED = 50
"""Times the shorter side. Models want a shorter side of some hundred pixels: the longer one would fill the memory."""
FORMATS = [name.upper() for name in IMAGES]
RUN_LENGTHS = (1, 2)
"""Compressions of BMP that Pillow decodes in Python: a file of 1 kB takes seconds."""
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By orientation (https://www.media.mit.edu/pia/Research/deepview/exif.html)."""


def read_image(data: bytes) -> Image.Image:
    """The image upright, in RGB, transparent parts on white, without metadata; of an animation the first frame.

    Raises:
        Invalid: it is damaged, of another format, has too many pixels, or takes too long to decode.
    """
    check_parts(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, and Pillow's own limit, which is higher than this one
            with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
                _check_header(opened, data)
                opened.load()
                image = _upright(_in_rgb(opened), _orientation(opened))
                image.info = {}  # transformers would turn it once more
                return image
    except InferenceError:
        raise
    except Image.DecompressionBombError:
        raise Invalid(_too_large("more pixels than this server takes")) from None
    except UnidentifiedImageError:
        raise Invalid(f"The image cannot be read; it must be one of {', '.join(IMAGES)}, and complete.") from None
    except Exception as error:
        # What Pillow's decoders raise for damaged files is not documented, and differs from format to format.
        raise Invalid(f"The image is damaged: {str(error).strip().rstrip('.') or type(error).__name__}.") from error


def png_of(image: Any) -> str:
    """An image, or an array of grey values from 0 to 255, as PNG in base64. Fast, at a size that is a little larger."""
    shown = image if isinstance(image, Image.Image) else Image.fromarray(image)
    shown.save(file := io.BytesIO(), "PNG", compress_level=1)
    return base64.b64encode(file.getvalue()).decode()


def _check_header(image: Image.Image, data: bytes) -> None:
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise Invalid(_too_large(f"{width} × {height} pixels"))
    if max(width, height) > MOST_STRETCHED * min(width, height):
        raise Invalid(
            f"The image has {width} × {height} pixels; the longer side may be {MOST_STRETCHED} times the shorter, "
            "so send a part of it."
        )
    if image.format == "BMP" and image.info.get("compression") in RUN_LENGTHS:
        raise Invalid("The image is a compressed BMP; send it uncompressed, or as PNG.")
    if image.format in ("JPEG", "MPO"):
        check_scans(data, width * height)


def _too_large(size: str) -> str:
    return f"The image has {size}; {MOST_PIXELS:,} in all are allowed, so send a smaller one."


def _in_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":  # 16 bits a pixel: conversion would clip all above 255
        return image.convert("I").point(lambda value: value / 257).convert("L").convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    image = image.convert("RGBA")
    background = Image.new("RGB", image.size, "white")
    background.paste(image, mask=image)
    return background


def _orientation(image: Image.Image) -> object:
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # damaged metadata; viewers show such an image as it is stored
        return None


def _upright(image: Image.Image, orientation: object) -> Image.Image:
    method = UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if method is None else image.transpose(method)
