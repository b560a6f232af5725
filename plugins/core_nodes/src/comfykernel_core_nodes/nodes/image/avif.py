"""AVIF files: 8 bits by Pillow, 10 bits and pictures of high dynamic range by PyAV, where it is installed."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from fractions import Fraction
from typing import Final, NamedTuple

import numpy as np
from torch import Tensor

from comfykernel_core_nodes.nodes.image.encoding import EXIF_MAKE, EXIF_MODEL, to_picture
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.json_types import Json

LARGEST_CRF: Final = 63

LONGEST_FPS_FRACTION: Final = 1000
"""Denominator of frame rates."""

BT_601: Final = 5
"""The number of BT.601's matrix in the library that converts colours."""


class Coding(NamedTuple):
    """How numbers mean colours (ITU-T H.273, tables 2 to 4), and the matrix's number where colours are converted."""

    primaries: int
    transfer: int
    matrix: int
    conversion: int


CODINGS: Final = {
    "sRGB": Coding(primaries=1, transfer=13, matrix=6, conversion=BT_601),
    "HDR": Coding(primaries=9, transfer=18, matrix=9, conversion=9),
    "HDR PQ": Coding(primaries=9, transfer=16, matrix=9, conversion=9),
}
"""sRGB; BT.2020 with hybrid log-gamma and with PQ."""


def encode_avif(images: Tensor, texts: Mapping[str, Json], *, crf: int, fps: float) -> bytes:
    """Images [frame, height, width, 1 or 3] of sRGB as one AVIF of 8 bits; several are an animation without end.

    ``crf`` goes from 1 (fine, large) to 63. The texts go into EXIF as ``NAME:JSON``.
    """
    first, *others = [to_picture(image).convert("RGB") for image in images]
    exif = first.getexif()
    for number, (name, value) in enumerate(texts.items()):
        exif[EXIF_MODEL if name == "prompt" else EXIF_MAKE - number] = f"{name}:{json.dumps(value)}"
    quality = round(100.0 * (1.0 - crf / LARGEST_CRF))
    buffer = io.BytesIO()
    first.save(
        buffer, "AVIF", save_all=bool(others), append_images=others, duration=max(1, round(1000.0 / fps)),
        quality=quality, subsampling="4:2:0", exif=exif,
    )  # fmt: skip
    return buffer.getvalue()


def encode_deep_avif(
    images: Tensor, *, colour_space: str, crf: int, fps: float, loops: int, deep: bool = True
) -> bytes:
    """The same of 10 bits (or 8 where not ``deep``), with BT.2020 colours for ``HDR`` and ``HDR PQ``.

    ``loops`` says how often an animation is played, 0: without end. Texts can't be stored.

    Raises:
        BadInput: PyAV is not installed, or it has no encoder.
    """
    try:
        import av
    except ImportError as error:
        raise _missing() from error
    if "libsvtav1" not in av.codecs_available:
        raise _missing()
    coding, buffer = CODINGS[colour_space], io.BytesIO()
    with av.open(buffer, "w", format="avif", options={"loop": str(loops)}) as container:
        stream = container.add_stream("libsvtav1", rate=Fraction(fps).limit_denominator(LONGEST_FPS_FRACTION))
        stream.height, stream.width = images.shape[1:3]
        stream.pix_fmt = "yuv420p10le" if deep else "yuv420p"
        stream.options = {"crf": str(crf), "preset": "6"}
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = coding[:3]
        for image in images:
            values = image.expand(*image.shape[:2], 3).detach().cpu().double().numpy().clip(0.0, 1.0)
            frame = av.VideoFrame.from_ndarray(np.rint(values * 0xFFFF).astype(np.uint16), format="rgb48le")
            converted = frame.reformat(format=stream.pix_fmt, dst_colorspace=coding.conversion)
            container.mux(stream.encode(converted))
        container.mux(stream.encode())
    return buffer.getvalue()


def _missing() -> BadInput:
    return BadInput(
        "AVIF files with 10 bits, high dynamic range or a number of loops need PyAV with an AV1 encoder.",
        type="missing_package", hint="Install the package av, or choose 8-bit YUV420, sRGB and endless animations.",
    )  # fmt: skip
