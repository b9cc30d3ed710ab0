"""What would keep a decoder busy for long: small files can ask for minutes of work.

Pillow reads the parts of a file (chunks, segments, blocks) one by one in Python before it knows the size of the image,
and a JPEG may repaint its image in any number of scans. Files with more of these than any program writes are refused.
"""

import re
from collections.abc import Iterator
from itertools import islice

from inference.errors import Invalid

MOST_PARTS = 20_000
"""A PNG of 160 MB that libpng wrote has as many."""
MOST_SCANNED = 640_000_000
"""Pixels of all scans of a JPEG together: a photograph has about ten scans if it is progressive, otherwise one."""
PNG, JPEG, GIF = b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"GIF8"
RESTARTS = range(0xD0, 0xD8)
END, SCAN = 0xD9, 0xDA
MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""Within a scan, 0xff is followed by something else only where the scan ends."""


def check_parts(data: bytes) -> None:
    """Raises ``Invalid`` for more than ``MOST_PARTS``."""
    if sum(1 for _ in islice(_parts(data), MOST_PARTS + 1)) > MOST_PARTS:
        raise Invalid(f"The image has more than {MOST_PARTS:,} parts, which no camera or program writes; save it anew.")


def check_scans(data: bytes, pixels: int) -> None:
    """Raises ``Invalid`` for a JPEG of so many pixels with too many scans."""
    scans = sum(1 for marker in islice(_segments(data), MOST_PARTS) if marker == SCAN)
    if scans * pixels > MOST_SCANNED:
        raise Invalid(f"The image is a JPEG with {scans} scans, too many for its size; save it anew with ten at most.")


def _parts(data: bytes) -> Iterator[int]:
    """One item for each part that precedes the image, or belongs to it."""
    if data.startswith(PNG):
        return _chunks(data)
    if data.startswith(JPEG):
        return _segments(data)
    return _blocks(data) if data.startswith(GIF) else iter(())


def _chunks(data: bytes) -> Iterator[int]:
    place = len(PNG)
    while place + 8 <= len(data):
        yield place
        place += 12 + int.from_bytes(data[place : place + 4])


def _segments(data: bytes) -> Iterator[int]:
    """Markers up to the end of the first image; each byte that belongs to no segment counts as well, as 0."""
    place = len(JPEG)
    while place + 1 < len(data):
        marker = data[place + 1] if data[place] == 0xFF else 0
        if marker in (0, 0xFF):
            yield 0
            place += 1
            continue
        yield marker
        if marker == END:
            return
        place += 2 if marker in RESTARTS else 2 + max(2, int.from_bytes(data[place + 2 : place + 4]))
        if marker == SCAN:
            found = MARKER.search(data, place)
            if found is None:
                return
            place = found.start()


def _blocks(data: bytes) -> Iterator[int]:
    """Blocks of the extensions before the first frame."""
    colours = 3 << (data[10] & 7) + 1 if len(data) > 10 and data[10] & 0x80 else 0
    place = 13 + colours
    while place + 1 < len(data) and data[place] == ord("!"):
        place += 2
        while place < len(data):
            yield place
            size = data[place]
            place += 1 + size
            if not size:
                break
