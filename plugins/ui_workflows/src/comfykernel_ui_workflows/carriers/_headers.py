"""Files with a header of JSON: safetensors (also saved latents), glTF models; and SVG drawings."""

from __future__ import annotations

import re
from typing import BinaryIO, Final

import msgspec

from comfykernel_sdk.json_types import Json

from ._reading import WANTED, Texts, as_text, read_exactly, read_number

GLTF_JSON: Final = b"JSON"
LONGEST_SVG_START: Final = 8 * 1024 * 1024
"""Bytes of an SVG in which its metadata is looked for."""

SVG_METADATA: Final = re.compile(r"<metadata[^>]*>\s*(?:<!\[CDATA\[)?(.*?)(?:\]\]>)?\s*</metadata>", re.DOTALL)


def read_safetensors(file: BinaryIO) -> Texts:
    """The texts of the member ``__metadata__``."""
    file.seek(0)
    header = _json(read_exactly(file, read_number(file, 8, little=True)))
    yield from _members(header.get("__metadata__") if isinstance(header, dict) else None)


def read_gltf(file: BinaryIO) -> Texts:
    """The extras of the asset in a binary glTF (glTF 2.0, section 4.4)."""
    file.seek(12)
    size, kind = read_number(file, 4, little=True), read_exactly(file, 4)
    header = _json(read_exactly(file, size)) if kind == GLTF_JSON else None
    asset = header.get("asset") if isinstance(header, dict) else None
    yield from _members(asset.get("extras") if isinstance(asset, dict) else None)


def read_svg(file: BinaryIO) -> Texts:
    """The JSON in the element ``metadata``."""
    file.seek(0)
    found = SVG_METADATA.search(as_text(file.read(LONGEST_SVG_START)))
    if found is not None:
        yield from _members(_json(found[1].encode()))


def _json(data: bytes) -> Json:
    try:
        found: Json = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    return found


def _members(found: Json) -> Texts:
    for name in WANTED:
        value = found.get(name) if isinstance(found, dict) else None
        if isinstance(value, str):
            yield name, value
        elif isinstance(value, dict):
            yield name, msgspec.json.encode(value).decode()
