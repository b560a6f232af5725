"""Nodes that read images of the input folder."""

from __future__ import annotations

import hashlib
from typing import Annotated, Final

from comfykernel_core_nodes.nodes.declare import core_node, extra_node
from comfykernel_core_nodes.nodes.image.decoding import decode_image, decode_mask
from comfykernel_core_nodes.nodes.sockets import MAX_SIDE
from comfykernel_sdk.context import NodeContext, current_context
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.json_types import JsonObject
from comfykernel_sdk.sockets import Choice, File, Image, Int, Mask, Socket, Toggle

HASHED_AT_ONCE: Final = 1 << 20
"""Bytes of a file in memory while it is hashed."""

MASK_CHANNELS: Final = ("alpha", "red", "green", "blue")

OUTPUT_FILES: Final[JsonObject] = {
    "image_upload": True,
    "image_folder": "output",
    "remote": {"route": "/internal/files/output", "refresh_button": True, "control_after_refresh": "first"},
}
"""Lets the page ask for the names of saved images by itself."""

CaptureSide = Annotated[int, Int(default=0, min=0, max=MAX_SIDE, step=1)]

webcam_node = extra_node("nodes_webcam")


def content_hash(image: str) -> str:
    """SHA-256 of the file, so that a node runs again when the file has changed under its name."""
    files = current_context().files
    digest = hashlib.sha256()
    with files.open(files.parse(image)) as file:
        while chunk := file.read(HASHED_AT_ONCE):
            digest.update(chunk)
    return digest.hexdigest()


def check_image_exists(image: str) -> bool | str:
    """``True``, or a text that says that there is no such file."""
    files = current_context().files
    try:
        files.info(files.parse(image))
    except BadInput:
        return f"Invalid image file: {image}"
    return True


@core_node(
    "LoadImage", category="image", display_name="Load Image", fingerprint=content_hash, validate=check_image_exists
)
def load_image(context: NodeContext, image: Annotated[str, File()]) -> tuple[Image, Mask]:
    """Read an image of the input folder, upright, with its transparency as mask; an animation as a batch.

    Raises:
        BadInput: the file is no image, or it is damaged.
        TooLarge: it has more pixels than the settings allow.
    """
    limit = context.settings.execution.max_image_pixels
    with context.files.open(context.files.parse(image)) as file:
        return decode_image(file, image, max_pixels=limit)


@core_node(
    "LoadImageMask", category="mask", display_name="Load Image (as Mask)",
    fingerprint=content_hash, validate=check_image_exists,
)  # fmt: skip
def load_image_mask(
    context: NodeContext, image: Annotated[str, File()], channel: Annotated[str, Choice(*MASK_CHANNELS, bare=True)]
) -> Mask:
    """Read one channel of an image of the input folder as mask.

    Raises:
        BadInput: the file is no image, or it is damaged.
        TooLarge: it has more pixels than the settings allow.
    """
    limit = context.settings.execution.max_image_pixels
    with context.files.open(context.files.parse(image)) as file:
        return decode_mask(file, image, channel, max_pixels=limit)


@core_node(
    "LoadImageOutput", category="image", display_name="Load Image (from Outputs)", experimental=True,
    fingerprint=content_hash, validate=check_image_exists,
)  # fmt: skip
def load_image_output(
    context: NodeContext, image: Annotated[str, Socket("COMBO", options=OUTPUT_FILES)]
) -> tuple[Image, Mask]:
    """Read an image of the output folder, as LoadImage does with those of the input folder.

    Raises:
        BadInput: the file is no image, or it is damaged.
        TooLarge: it has more pixels than the settings allow.
    """
    return load_image(context, image)


@webcam_node(
    "WebcamCapture", category="image", display_name="Webcam Capture", fingerprint=content_hash,
    validate=check_image_exists,
)  # fmt: skip
def webcam_capture(
    context: NodeContext,
    image: Annotated[str, Socket("WEBCAM", bare=False)],
    width: CaptureSide,
    height: CaptureSide,
    capture_on_queue: Annotated[bool, Toggle(default=True)],
) -> Image:
    """Read the picture that the page took with a camera and uploaded; the other inputs are the page's settings.

    Raises:
        BadInput: the file is no image, or it is damaged.
        TooLarge: it has more pixels than the settings allow.
    """
    return load_image(context, image)[0]
