"""Tells a file's kind by its first bytes and collects what it carries."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import BinaryIO, Final, TypeAlias

from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.json_types import JsonObject

from ._comments import read_flac, read_mp3, read_ogg
from ._exif import read_jpeg, read_webp
from ._headers import read_gltf, read_safetensors, read_svg
from ._matroska import read_matroska
from ._mp4 import read_mp4
from ._png import SIGNATURE, read_png
from ._reading import Texts

Reader: TypeAlias = "Callable[[BinaryIO], Texts]"

START: Final = 512
"""Bytes of a file that tell its kind."""

KINDS: Final[tuple[tuple[str, Callable[[bytes], bool], Reader], ...]] = (
    ("PNG", lambda start: start.startswith(SIGNATURE), read_png),
    ("WebP", lambda start: start[:4] == b"RIFF" and start[8:12] == b"WEBP", read_webp),
    ("JPEG", lambda start: start.startswith(b"\xff\xd8\xff"), read_jpeg),
    ("FLAC", lambda start: start.startswith(b"fLaC"), read_flac),
    ("Ogg", lambda start: start.startswith(b"OggS"), read_ogg),
    ("MP3", lambda start: start.startswith(b"ID3"), read_mp3),
    ("MP4", lambda start: start[4:8] == b"ftyp", read_mp4),
    ("WebM", lambda start: start.startswith(b"\x1a\x45\xdf\xa3"), read_matroska),
    ("glTF", lambda start: start.startswith(b"glTF"), read_gltf),
    ("safetensors", lambda start: start[6:9] == b"\0\0{", read_safetensors),
    ("SVG", lambda start: start.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<" and b"<svg" in start, read_svg),
)


def read_carried(file: BinaryIO) -> JsonObject | None:
    """What a file carries: an object with ``prompt``, ``workflow`` or both; ``None`` for a file of another kind.

    Raises:
        BadInput: ``nothing_carried`` for a file of these kinds without either, ``carrier_too_large`` for a text beyond
            the limit, ``invalid_carried_workflow`` for one that is no JSON.
    """
    file.seek(0)
    start = file.read(START)
    for kind, is_one, reader in KINDS:
        if is_one(start):
            return _collect(kind, reader, file)
    return None


def _collect(kind: str, reader: Reader, file: BinaryIO) -> JsonObject:
    texts: dict[str, str] = {}
    # A file that was cut off carries what stands before the cut.
    with contextlib.suppress(EOFError):
        for name, text in reader(file):
            texts.setdefault(name, text)
    found: JsonObject = {}
    for name, text in texts.items():
        try:
            # Not msgspec: prompts hold NaN, which marks nodes that always run.
            found[name] = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadInput(
                f"The {name} inside the {kind} file is no JSON.", details=str(error), type="invalid_carried_workflow"
            ) from None
    if not found:
        hint = "Metadata may have been switched off, or removed when the file was edited or sent."
        raise BadInput(f"The {kind} file carries no workflow.", hint=hint, type="nothing_carried")
    return found
