"""PNG files with 16 bits a channel, which Pillow writes for grey pictures only."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Final

import numpy as np
from torch import Tensor

from comfykernel_core_nodes.nodes.image.encoding import check_keyword
from comfykernel_sdk.json_types import Json

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"

COLOUR_TYPES: Final = {1: 0, 3: 2, 4: 6}
"""PNG's colour type by the number of channels (PNG specification, 11.2.2)."""

FILTER_UP: Final = 2
"""Each byte is stored as its difference from the one above (PNG specification, 9.2)."""


def encode_png16(image: Tensor, texts: Mapping[str, Json], *, compress_level: int) -> bytes:
    """One image [height, width, 1, 3 or 4] of 0..1 as 16-bit PNG with a ``tEXt`` chunk of JSON for each text.

    Raises:
        BadInput: a name of ``texts`` can't be the keyword of a chunk.
    """
    height, width, channels = image.shape
    values = np.nan_to_num(image.detach().cpu().double().numpy()).clip(0.0, 1.0)
    rows = np.rint(values * 0xFFFF).astype(">u2").view(np.uint8).reshape(height, width * channels * 2)
    filtered = np.diff(rows, axis=0, prepend=np.zeros((1, rows.shape[1]), dtype=np.uint8))
    lines = np.concatenate([np.full((height, 1), FILTER_UP, dtype=np.uint8), filtered], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPES[channels], 0, 0, 0)
    chunks = [_chunk(b"IHDR", header)]
    for keyword, value in texts.items():
        check_keyword(keyword)
        chunks.append(_chunk(b"tEXt", keyword.encode("latin-1") + b"\0" + json.dumps(value).encode()))
    chunks += [_chunk(b"IDAT", zlib.compress(lines.tobytes(), compress_level)), _chunk(b"IEND", b"")]
    return SIGNATURE + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
