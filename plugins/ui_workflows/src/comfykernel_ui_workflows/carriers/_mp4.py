"""MP4 and QuickTime: names in ``keys`` and values in ``ilst`` of the movie's metadata (QuickTime file format)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

from ._reading import MOST_PARTS, WANTED, Texts, as_text, read_exactly, read_number

CONTAINERS: Final = (b"moov", b"udta", b"meta")
DATA_HEADER: Final = 16
"""Bytes of a ``data`` box before its text: size, name, type, locale."""


def read_mp4(file: BinaryIO) -> Texts:
    """The texts of the movie; the media itself is stepped over."""
    file.seek(0, 2)
    yield from _read(file, 0, file.tell(), 0)


def _read(file: BinaryIO, start: int, end: int, depth: int) -> Texts:
    names: list[str] = []
    for kind, first, last in _boxes(file, start, end):
        if kind in CONTAINERS and depth < len(CONTAINERS):
            yield from _read(file, first + _version(file, kind, first), last, depth + 1)
        elif kind == b"keys":
            names = list(_keys(file, first, last))
        elif kind == b"ilst":
            for number, inner, inner_end in _boxes(file, first, last):
                index = int.from_bytes(number, "big") - 1
                if 0 <= index < len(names) and names[index] in WANTED:
                    file.seek(inner + DATA_HEADER)
                    yield names[index], as_text(read_exactly(file, max(inner_end - inner - DATA_HEADER, 0)))


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, begin and end of what each box between two places holds."""
    for _ in range(MOST_PARTS):
        if start + 8 > end:
            return
        file.seek(start)
        size, kind, header = read_number(file, 4), read_exactly(file, 4), 8
        if size == 1:
            size, header = read_number(file, 8), 16
        last = end if size == 0 else start + size
        if (size and size < header) or last > end:
            return
        yield kind, start + header, last
        start = last


def _version(file: BinaryIO, kind: bytes, first: int) -> int:
    """Bytes of the version before the boxes of a ``meta``: MP4 has one, QuickTime has none."""
    if kind != b"meta":
        return 0
    file.seek(first + 4)
    return 0 if read_exactly(file, 4) == b"hdlr" else 4


def _keys(file: BinaryIO, first: int, last: int) -> Iterator[str]:
    for _, start, end in _boxes(file, first + 8, last):
        file.seek(start)
        yield as_text(read_exactly(file, end - start)).lower()
