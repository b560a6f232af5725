"""WebM and Matroska: simple tags of the segment (RFC 9559, section 5.1.8)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

from ._reading import MOST_PARTS, WANTED, Texts, as_text, read_exactly

SEGMENT: Final = 0x18538067
TAGS: Final = 0x1254C367
TAG: Final = 0x7373
SIMPLE_TAG: Final = 0x67C8
TAG_NAME: Final = 0x45A3
TAG_STRING: Final = 0x4487
CONTAINERS: Final = (SEGMENT, TAGS, TAG)


def read_matroska(file: BinaryIO) -> Texts:
    """The texts of the tags; clusters are stepped over."""
    file.seek(0, 2)
    yield from _read(file, 0, file.tell(), 0)


def _read(file: BinaryIO, start: int, end: int, depth: int) -> Texts:
    for id, first, last in _elements(file, start, end):
        if id in CONTAINERS and depth < len(CONTAINERS):
            yield from _read(file, first, last, depth + 1)
        elif id == SIMPLE_TAG:
            parts = {kind: (inner, inner_end) for kind, inner, inner_end in _elements(file, first, last)}
            if TAG_NAME in parts and TAG_STRING in parts:
                name = _text(file, *parts[TAG_NAME]).lower()
                if name in WANTED:
                    yield name, _text(file, *parts[TAG_STRING])


def _elements(file: BinaryIO, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Id, begin and end of each element between two places; one of unknown size reaches to the end."""
    for _ in range(MOST_PARTS):
        if start >= end:
            return
        file.seek(start)
        id, _ = _number(file, keep_marker=True)
        size, unknown = _number(file, keep_marker=False)
        first = file.tell()
        last = end if unknown else min(first + size, end)
        yield id, first, last
        start = last


def _number(file: BinaryIO, *, keep_marker: bool) -> tuple[int, bool]:
    """A number of variable length (RFC 8794, section 4), and whether all of its bits are set."""
    head = read_exactly(file, 1)[0]
    length = 9 - head.bit_length()
    if length > 8:
        raise EOFError
    data = bytes([head]) + read_exactly(file, length - 1)
    value = int.from_bytes(data, "big")
    bits = value & ((1 << 7 * length) - 1)
    return (value if keep_marker else bits), bits == (1 << 7 * length) - 1


def _text(file: BinaryIO, first: int, last: int) -> str:
    file.seek(first)
    return as_text(read_exactly(file, last - first).rstrip(b"\0"))
