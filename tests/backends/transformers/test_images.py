"""Whatever bytes a client sends: an image in RGB as a viewer shows it, or one sentence, in little time and memory."""

import io
import random
import re
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("PIL")

from PIL import Image, ImageDraw, ImageFile

from inference.backends.transformers import images
from inference.backends.transformers.images import read_image
from inference.errors import Invalid

SIZE = (12, 8)
RED, BLUE, WHITE, BLACK = (255, 0, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)
TOO_LARGE = "40,000,000 in all are allowed, so send a smaller one."
STRETCHED = "the longer side may be 50 times the shorter, so send a part of it."
TOO_MUCH_TEXT = "The image is damaged: Decompressed data too large"
COMPRESSED = "The image is a compressed BMP; send it uncompressed, or as PNG."
TOO_MANY_PARTS = "The image has more than 20,000 parts, which no camera or program writes; save it anew."


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    image.save(file := io.BytesIO(), kind, **options)
    return file.getvalue()


def picture(mode: str = "RGB") -> Image.Image:
    """Red, with a blue part at the top left."""
    image = Image.new("RGB", SIZE, RED)
    ImageDraw.Draw(image).rectangle((0, 0, 3, 1), fill=BLUE)
    return image.convert(mode)


def pixels(image: Image.Image) -> list[Any]:
    return list(image.get_flattened_data())


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int = 4, height: int = 4, *, packed: bytes = b"", before: bytes = b"", after: bytes = b"") -> bytes:
    """Black, in RGB; ``before`` and ``after`` are chunks around the compressed pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = packed or zlib.compress((b"\0" + bytes(3 * 4)) * 4)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", packed) + after + chunk(b"IEND", b"")


def gif(width: int, height: int, *, frame: tuple[int, int] = (1, 1), before: bytes = b"") -> bytes:
    """``before`` are extensions before the frame."""
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6)
    return head + before + b"," + struct.pack("<HHHHB", 0, 0, *frame, 0) + b"\2\2\x44\1\0;"


def bmp(width: int, height: int, *, compression: int = 0, data: bytes = b"") -> bytes:
    start = 14 + 40 + 1024
    head = b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start)
    return head + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, compression, 0, 0, 0, 0, 0) + bytes(1024) + data


def webp(width: int, height: int) -> bytes:
    """An animation whose canvas is said to have this size."""
    data = bytearray(saved(picture(), "WEBP", save_all=True, append_images=[Image.new("RGB", SIZE)]))
    assert data[12:16] == b"VP8X"
    data[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(data)


def zipped(size: int) -> bytes:
    return zlib.compress(bytes(size), 9)


# What a viewer shows


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "BMP", "JPEG"])
def test_each_format_is_read(kind: str) -> None:
    exact = {"WEBP": {"lossless": True}}
    options = exact.get(kind, {})
    read = read_image(saved(picture(), kind, **options))
    assert (read.mode, read.size) == ("RGB", SIZE)
    if kind != "JPEG":
        assert read.tobytes() == picture().tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_photographs_are_turned_upright(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.new("RGB", (64, 32), RED)
    ImageDraw.Draw(stored).rectangle((0, 0, 31, 15), fill=BLUE)  # a quarter: where it is tells the orientation

    read = read_image(saved(stored, kind, exif=exif))

    assert read.size == ((64, 32) if orientation < 5 else (32, 64))
    assert not read.getexif(), "whoever gets it would turn it once more"
    corners = {"top left": (2, 2), "top right": (-3, 2), "bottom right": (-3, -3), "bottom left": (2, -3)}
    blue = [
        name
        for name, (x, y) in corners.items()
        if read.getpixel((x % read.width, y % read.height))[2] > 128  # type: ignore[index]
    ]
    shown = (
        "top left",
        "top right",
        "bottom right",
        "bottom left",
        "top left",
        "top right",
        "bottom right",
        "bottom left",
    )
    assert blue == [shown[orientation - 1]]


def test_an_orientation_that_does_not_exist_is_none() -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    assert read_image(saved(picture(), exif=exif)).tobytes() == picture().tobytes()


def test_an_image_with_damaged_metadata_is_shown_as_it_is_stored() -> None:
    data = saved(picture(), exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert read_image(data).tobytes() == picture().tobytes()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_is_white(mode: str) -> None:
    image = Image.new(mode, (3, 1), (0, 0, 0, 0) if mode == "RGBA" else (0, 0))
    image.putpixel((1, 0), (0, 0, 0, 255) if mode == "RGBA" else (0, 255))
    image.putpixel((2, 0), (0, 0, 0, 128) if mode == "RGBA" else (0, 128))
    nothing, black, half = pixels(read_image(saved(image)))
    assert (nothing, black, half) == (WHITE, BLACK, (127, 127, 127))


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_colour_of_a_palette_is_white(kind: str) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 255, 255, 0, 0])
    image.putpixel((1, 0), 1)
    assert pixels(read_image(saved(image, kind, transparency=0))) == [WHITE, RED]


def test_sixteen_bits_of_grey_become_eight() -> None:
    image = Image.new("I;16", (3, 1))
    for x, value in enumerate((0, 32768, 65535)):
        image.putpixel((x, 0), value)
    assert [red for red, _, _ in pixels(read_image(saved(image)))] == [0, 127, 255]
    assert read_image(saved(image, transparency=32768)).size == (3, 1)


def test_black_and_white_of_one_bit() -> None:
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert pixels(read_image(saved(image))) == [BLACK, WHITE]
    assert pixels(read_image(saved(image, "BMP"))) == [BLACK, WHITE]


def test_a_photograph_in_printing_colours() -> None:
    shown = read_image(saved(Image.new("CMYK", SIZE, (0, 255, 255, 0)), "JPEG", quality=95))
    red, green, blue = pixels(shown)[0]
    assert red > 245
    assert green < 10 > blue


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_an_animation_the_first_frame(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(picture(), kind, save_all=True, append_images=[Image.new("RGB", SIZE, BLUE)], **options)
    assert read_image(data).tobytes() == picture().tobytes()


# Damaged files


def noise(kind: str, chance: random.Random) -> bytes:
    image = Image.frombytes("RGB", (24, 20), chance.randbytes(24 * 20 * 3))
    exif = Image.Exif()
    exif[0x0112] = 6
    options: dict[str, dict[str, Any]] = {"JPEG": {"exif": exif, "progressive": True}, "PNG": {"exif": exif}}
    return saved(image, kind, **options.get(kind, {}))


def mutations(data: bytes, chance: random.Random) -> Iterator[bytes]:
    yield from (data[: len(data) * part // 24] for part in range(24))
    for changes in (1, 1, 1, 2, 4, 16):
        for _ in range(12):
            changed = bytearray(data)
            for _ in range(changes):
                # Headers decide most, and are a small part of the file.
                place = chance.randrange(len(data) if chance.random() < 0.5 else min(80, len(data)))
                changed[place] = chance.randrange(256)
            yield bytes(changed)


def refusal(data: bytes) -> str:
    """Empty for an image that is read."""
    try:
        assert read_image(data).mode == "RGB"
    except Invalid as error:
        return error.message
    return ""


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_a_damaged_file_is_read_or_refused_in_a_sentence(kind: str) -> None:
    chance = random.Random(kind)
    refused = 0
    for data in mutations(noise(kind, chance), chance):
        if sentence := refusal(data):
            refused += 1
            assert re.fullmatch(r"The image .*\.", sentence)
    assert refused >= 20, "what is cut off is refused"


def test_a_file_that_is_cut_off_is_refused_also_where_half_of_it_could_be_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = noise("JPEG", random.Random(1))
    with pytest.raises(Invalid, match="The image is damaged: image file is truncated"):
        read_image(data[: len(data) // 2])
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.parametrize(
    "data", [b"", b"a text", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM", b"RIFF\0\0\0\0WEBP"]
)
def test_what_is_no_image_is_refused_with_what_would_be_right(data: bytes) -> None:
    with pytest.raises(Invalid) as refusal:
        read_image(data)
    assert (
        refusal.value.message == "The image cannot be read; it must be one of PNG, JPEG, WebP, GIF, BMP, and complete."
    )


def test_formats_that_programs_other_than_browsers_write_are_refused() -> None:
    for kind in ("TIFF", "PPM", "ICO", "PCX", "TGA"):
        with pytest.raises(Invalid, match="The image cannot be read"):
            read_image(saved(picture(), kind))


# Files that ask for more than they seem to


def scans_of(data: bytes, number: int) -> bytes:
    """A progressive JPEG whose last scan is there so many times more."""
    last, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:end] + data[last:end] * number + data[end:]


def jpeg_of(width: int, height: int) -> bytes:
    data = saved(picture(), "JPEG")
    size = data.index(b"\xff\xc0") + 5
    return data[:size] + struct.pack(">HH", height, width) + data[size + 4 :]


BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a gigapixel": (lambda: png(32_768, 32_768), TOO_LARGE),
    "the largest PNG": (lambda: png(2**31 - 1, 2**31 - 1), TOO_LARGE),
    "just too large": (lambda: png(10_000, 4_001), f"The image has 10000 × 4001 pixels; {TOO_LARGE}"),
    "one row": (lambda: png(40_000_001, 1), f"The image has 40000001 × 1 pixels; {TOO_LARGE}"),
    "a line": (lambda: png(39_000_000, 1), f"The image has 39000000 × 1 pixels; {STRETCHED}"),
    "a thin strip": (lambda: png(4, 201), f"The image has 4 × 201 pixels; {STRETCHED}"),
    "the largest GIF": (lambda: gif(65_535, 65_535), TOO_LARGE),
    "a GIF with a larger frame": (lambda: gif(4, 4, frame=(65_535, 65_535)), TOO_LARGE),
    "a large BMP": (lambda: bmp(2**30, 2**30), TOO_LARGE),
    "a BMP from top to bottom": (lambda: bmp(2**20, -(2**20)), TOO_LARGE),
    "a BMP of negative width": (lambda: bmp(-4, 4), TOO_LARGE),
    "a large WebP": (lambda: webp(2**24, 255), TOO_LARGE),
    "an animated WebP": (lambda: webp(16_383, 16_383), TOO_LARGE),
    "a large JPEG": (lambda: jpeg_of(65_535, 65_535), TOO_LARGE),
    "compressed text": (lambda: png(before=chunk(b"zTXt", b"a\0\0" + zipped(2**24))), TOO_MUCH_TEXT),
    "compressed text in Unicode": (lambda: png(before=chunk(b"iTXt", b"a\0\1\0\0\0" + zipped(2**24))), TOO_MUCH_TEXT),
    "a colour profile": (lambda: png(before=chunk(b"iCCP", b"a\0\0" + zipped(2**24))), TOO_MUCH_TEXT),
    "chunks": (lambda: png(before=chunk(b"abCd", b"") * 20_001), TOO_MANY_PARTS),
    "texts": (lambda: png(before=chunk(b"tEXt", b"a\0b") * 20_001), TOO_MANY_PARTS),
    "pixels in pieces": (lambda: png(after=chunk(b"IDAT", b"") * 20_001), TOO_MANY_PARTS),
    "segments": (lambda: b"\xff\xd8" + b"\xff\xfe\0\2" * 20_001, TOO_MANY_PARTS),
    "fill bytes": (lambda: b"\xff\xd8" + b"\xff" * 20_003, TOO_MANY_PARTS),
    "nothing between segments": (lambda: b"\xff\xd8\xff\xfe\0\2" + bytes(20_003), TOO_MANY_PARTS),
    "comments": (lambda: gif(4, 4, before=b"!\xfe\1x\0" * 20_001), TOO_MANY_PARTS),
    "a long comment": (lambda: gif(4, 4, before=b"!\xfe" + b"\1x" * 20_001 + b"\0"), TOO_MANY_PARTS),
    "rows by run lengths": (lambda: bmp(6000, 6000, compression=1, data=b"\1\0\0\0" * 6000), COMPRESSED),
    "run lengths of half bytes": (lambda: bmp(6000, 6000, compression=2, data=b"\1\0\0\0" * 6000), COMPRESSED),
    "scans": (
        lambda: scans_of(saved(Image.new("RGB", (2000, 2000)), "JPEG", progressive=True), 200),
        "The image is a JPEG with 210 scans, too many for its size; save it anew with ten at most.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_that_asks_for_much_is_refused_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    make, error = BOMBS[name]
    data = make()
    assert len(data) < 500_000

    def decode(self: Any) -> Any:
        raise AssertionError("it was decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", decode)
    tracemalloc.start()
    try:
        with pytest.raises(Invalid) as refusal:
            read_image(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error in refusal.value.message
    assert peak < 2**23


def test_of_pixels_that_expand_without_end_only_those_of_the_image_are_read() -> None:
    packer = zlib.compressobj(9)
    packed = b"".join(
        [packer.compress((b"\0" + bytes(3 * 4)) * 4), *(packer.compress(bytes(2**20)) for _ in range(200))]
    )
    with open("/proc/self/clear_refs", "w") as peaks:
        peaks.write("5")
    before = resident()
    assert read_image(png(packed=packed + packer.flush())).size == (4, 4)
    assert resident() - before < 2**24


def test_the_largest_image_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MOST_PIXELS", 96)
    assert read_image(saved(picture())).size == SIZE
    monkeypatch.setattr(images, "MOST_PIXELS", 95)
    with pytest.raises(Invalid, match="The image has 12 × 8 pixels; 95 in all are allowed, so send a smaller one"):
        read_image(saved(picture()))


def test_a_photograph_may_be_progressive_and_carry_a_film() -> None:
    """Phones append a few seconds of film, in which any bytes may occur."""
    photograph = saved(Image.new("RGB", (3000, 2000), RED), "JPEG", progressive=True)
    assert read_image(photograph + b"\xff\xda\0\2" * 30_000).size == (3000, 2000)


def resident() -> int:
    """The most memory that this process had since ``clear_refs`` was written."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
