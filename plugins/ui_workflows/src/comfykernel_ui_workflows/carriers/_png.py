"""PNG: text chunks (PNG specification, 11.3.3), and the chunk in which animations keep them."""

from __future__ import annotations

import zlib
from typing import BinaryIO, Final

from ._reading import LARGEST_TEXT, MOST_PARTS, WANTED, Texts, as_text, read_exactly, read_number

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
TEXT_CHUNKS: Final = (b"tEXt", b"zTXt", b"iTXt", b"comf")
CHECKSUM: Final = 4


def read_png(file: BinaryIO) -> Texts:
    """The texts of all chunks up to the end of the picture; other chunks are stepped over."""
    file.seek(len(SIGNATURE))
    for _ in range(MOST_PARTS):
        size, kind = read_number(file, 4), read_exactly(file, 4)
        if kind == b"IEND":
            return
        if kind in TEXT_CHUNKS:
            keyword, _, rest = read_exactly(file, size).partition(b"\0")
            if (name := as_text(keyword)) in WANTED:
                yield name, _text(kind, rest)
            file.seek(CHECKSUM, 1)
        else:
            file.seek(size + CHECKSUM, 1)


def _text(kind: bytes, rest: bytes) -> str:
    if kind == b"zTXt":
        return as_text(_unpacked(rest[1:]))
    if kind == b"iTXt":
        packed, data = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
        return as_text(_unpacked(data) if packed else data)
    return as_text(rest)


def _unpacked(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, LARGEST_TEXT)
    except zlib.error:
        return b""
