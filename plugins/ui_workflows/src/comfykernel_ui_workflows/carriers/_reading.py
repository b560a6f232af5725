"""What all readers of files share: bounded reads, and the texts that they look for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final, TypeAlias

from comfykernel_sdk.errors import BadInput

Texts: TypeAlias = Iterator[tuple[str, str]]
"""Names and texts of a file's metadata, in the order of the file."""

LARGEST_TEXT: Final = 32 * 1024 * 1024
"""Bytes of one text, unpacked; a prompt of 10,000 nodes has about 3 MiB."""

MOST_PARTS: Final = 100_000
"""Chunks, boxes, pages or frames of a file that are looked at."""

WANTED: Final = ("prompt", "workflow")


def read_exactly(file: BinaryIO, size: int) -> bytes:
    """The next bytes.

    Raises:
        EOFError: the file ends before.
        BadInput: these are more than a text may have.
    """
    if size > LARGEST_TEXT:
        hint = f"At most {LARGEST_TEXT // 1024 // 1024} MiB are read."
        raise BadInput(
            "A part of the file is too large.", details=f"{size} bytes.", hint=hint, type="carrier_too_large"
        )
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return data


def read_number(file: BinaryIO, size: int, *, little: bool = False) -> int:
    """An unsigned number of so many bytes; raises EOFError."""
    return int.from_bytes(read_exactly(file, size), "little" if little else "big")


def as_text(data: bytes) -> str:
    """UTF-8, or what older writers made of it."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def named_text(text: str) -> tuple[str, str]:
    """``prompt:{...}`` or ``prompt={...}`` as name and text; an empty name when it is neither."""
    for name in WANTED:
        if text[: len(name)].lower() == name and text[len(name) : len(name) + 1] in (":", "="):
            return name, text[len(name) + 1 :]
    return "", text
