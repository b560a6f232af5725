"""The header of a safetensors file: a little-endian u64 length, then a JSON object of that many bytes."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

    from comfykernel_sdk.json_types import JsonObject

MAX_HEADER: Final = 1024 * 1024
"""Bytes; longer headers are not read."""

_LENGTH: Final = struct.Struct("<Q")


def read_metadata(path: Path) -> JsonObject | None:
    """The member ``__metadata__``, or nothing when the file has none or is no safetensors file."""
    with path.open("rb") as file:
        start = file.read(_LENGTH.size)
        if len(start) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack(start)
        if length > MAX_HEADER:
            return None
        data = file.read(length)
    try:
        header = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    return metadata if isinstance(metadata, dict) and metadata else None
