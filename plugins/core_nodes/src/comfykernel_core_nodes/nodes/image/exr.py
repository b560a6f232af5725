"""OpenEXR files: one part, scan lines, ZIP compression (openexr.com, OpenEXR File Layout)."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.json_types import Json

MAGIC: Final = 20000630
VERSION: Final = 2
LONG_NAMES: Final = 0x400
"""Flag of files in which names have more than 31 bytes."""

LONGEST_SHORT_NAME: Final = 31
LONGEST_NAME: Final = 255

ZIP: Final = 3
LINES_A_BLOCK: Final = 16
ZLIB_LEVEL: Final = 4

CHANNELS: Final = {1: "Y", 3: "BGR", 4: "ABGR"}
"""Names in the order of the file, which is the alphabet's."""

PIXEL_TYPES: Final = {"<f2": 1, "<f4": 2}

# x and y of red, green, blue and white.
REC_709: Final = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
REC_2020: Final = (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290)
ACES_AP1: Final = (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767)


def encode_exr(image: Tensor, texts: Mapping[str, Json], *, half: bool, chromaticities: tuple[float, ...]) -> bytes:
    """One image [height, width, 1, 3 or 4] of linear light as OpenEXR; texts become string attributes of JSON.

    Raises:
        BadInput: a name of ``texts`` can't be the name of an attribute.
    """
    height, width, channels = image.shape
    kind = "<f2" if half else "<f4"
    header = _header(width, height, CHANNELS[channels], kind, chromaticities, texts)
    # A line holds one channel after the other, in the order of their names.
    planes = image.detach().cpu().float().numpy()[..., ::-1].transpose(0, 2, 1)
    if half:
        planes = planes.clip(-65504.0, 65504.0)
    lines = np.ascontiguousarray(planes).astype(kind)
    starts = range(0, height, LINES_A_BLOCK)
    blocks = [_block(y, lines[y : y + LINES_A_BLOCK]) for y in starts]
    offset = len(header) + 8 * len(blocks)
    offsets = []
    for block in blocks:
        offsets.append(offset)
        offset += len(block)
    return header + struct.pack(f"<{len(offsets)}Q", *offsets) + b"".join(blocks)


def _header(
    width: int, height: int, channels: str, kind: str, chromaticities: tuple[float, ...], texts: Mapping[str, Json]
) -> bytes:
    listed = b"".join(c.encode() + struct.pack("<xiB3xii", PIXEL_TYPES[kind], 0, 1, 1) for c in channels) + b"\0"
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    attributes: dict[str, tuple[str, bytes]] = {
        "channels": ("chlist", listed),
        "chromaticities": ("chromaticities", struct.pack("<8f", *chromaticities)),
        "compression": ("compression", bytes([ZIP])),
        "dataWindow": ("box2i", window),
        "displayWindow": ("box2i", window),
        "lineOrder": ("lineOrder", b"\0"),
        "pixelAspectRatio": ("float", struct.pack("<f", 1.0)),
        "screenWindowCenter": ("v2f", struct.pack("<2f", 0.0, 0.0)),
        "screenWindowWidth": ("float", struct.pack("<f", 1.0)),
    }
    for name, value in texts.items():
        _check_name(name, attributes)
        attributes[name] = ("string", json.dumps(value).encode())
    flags = LONG_NAMES if any(len(name.encode()) > LONGEST_SHORT_NAME for name in attributes) else 0
    written = [
        name.encode() + b"\0" + type_.encode() + b"\0" + struct.pack("<i", len(value)) + value
        for name, (type_, value) in attributes.items()
    ]
    return struct.pack("<2i", MAGIC, VERSION | flags) + b"".join(written) + b"\0"


def _check_name(name: str, taken: Mapping[str, object]) -> None:
    if name in taken or "\0" in name or not 0 < len(name.encode()) <= LONGEST_NAME:
        raise BadInput(
            f"{name[:100]!r} can't be stored in an EXR file.", type="invalid_metadata_key",
            hint=f"Members of extra_pnginfo have 1 to {LONGEST_NAME} bytes and no name of the format's own.",
        )  # fmt: skip


def _block(y: int, lines: NDArray[np.floating]) -> bytes:
    """Some lines: their bytes sorted into low and high ones, as differences, compressed where that is shorter."""
    raw = np.frombuffer(lines.tobytes(), dtype=np.uint8)
    parted = np.concatenate([raw[0::2], raw[1::2]])
    differences = np.concatenate([parted[:1], np.diff(parted) + np.uint8(128)])
    packed = zlib.compress(differences.tobytes(), ZLIB_LEVEL)
    data = packed if len(packed) < len(raw) else raw.tobytes()
    return struct.pack("<2i", y, len(data)) + data
