"""EXIF: texts ``prompt:JSON`` and ``workflow:JSON`` in the first directory (TIFF 6.0, section 2), in WebP and JPEG."""

from __future__ import annotations

from typing import BinaryIO, Final, Literal

from ._reading import MOST_PARTS, Texts, as_text, named_text, read_exactly, read_number

HEADER: Final = b"Exif\0\0"
ASCII: Final = 2
ENTRY_SIZE: Final = 12


def read_webp(file: BinaryIO) -> Texts:
    """The texts in the EXIF chunks of a RIFF file."""
    file.seek(12)
    for _ in range(MOST_PARTS):
        kind, size = read_exactly(file, 4), read_number(file, 4, little=True)
        if kind == b"EXIF":
            yield from exif_texts(read_exactly(file, size))
            file.seek(size % 2, 1)
        else:
            file.seek(size + size % 2, 1)


def read_jpeg(file: BinaryIO) -> Texts:
    """The texts in the EXIF segments before the picture's data."""
    file.seek(2)
    for _ in range(MOST_PARTS):
        marker = read_exactly(file, 2)
        if marker[0] != 0xFF or marker[1] == 0xDA:
            return
        size = read_number(file, 2) - 2
        data = read_exactly(file, max(size, 0))
        if marker[1] == 0xE1 and data.startswith(HEADER):
            yield from exif_texts(data)


def exif_texts(data: bytes) -> Texts:
    """The named texts of the first directory; what points outside of the data is left out."""
    data = data.removeprefix(HEADER)
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    start = int.from_bytes(data[4:8], order)
    count = int.from_bytes(data[start : start + 2], order)
    for index in range(count):
        entry = data[start + 2 + index * ENTRY_SIZE :][:ENTRY_SIZE]
        if len(entry) < ENTRY_SIZE:
            return
        kind, size = int.from_bytes(entry[2:4], order), int.from_bytes(entry[4:8], order)
        if kind == ASCII and size > 4:
            place = int.from_bytes(entry[8:], order)
            name, text = named_text(as_text(data[place : place + size].rstrip(b"\0")))
            if name:
                yield name, text
