"""Nodes that show images to people: saved for good, saved for the session, sent to a client."""

from __future__ import annotations

import secrets
import string
from typing import Annotated, Final

from torch import Tensor

from comfykernel_core_nodes.nodes.declare import core_node, extra_node
from comfykernel_core_nodes.nodes.image.encoding import encode_png, encode_webp
from comfykernel_sdk.context import NodeContext, Preview
from comfykernel_sdk.json_types import Json, JsonObject
from comfykernel_sdk.nodes import Result, node
from comfykernel_sdk.sockets import Choice, ExtraPngInfo, Float, Image, Int, PromptGraph, Socket, Text, Toggle
from comfykernel_sdk.storage import FileKind, FileRef

image_node = extra_node("nodes_images")

SAVED_COMPRESSION: Final = 4
"""zlib level of saved files: within a few percent of the smallest, several times faster."""

PREVIEW_COMPRESSION: Final = 1
"""zlib level of files that are looked at once."""

WEBP_METHODS: Final = {"default": 4, "fastest": 0, "slowest": 6}


@core_node("SaveImage", category="image", display_name="Save Image", output_node=True)
def save_image(
    context: NodeContext,
    images: Annotated[Tensor, Socket("IMAGE", tooltip="What to save, one file each.")],
    filename_prefix: Annotated[
        str,
        Text(
            default="ComfyUI",
            tooltip="Start of the file names; may hold folders and %width%, %height%, %year% and the like.",
        ),
    ],
    prompt: PromptGraph = None,
    extra_pnginfo: ExtraPngInfo = None,
) -> Result[None]:
    """Save images to the output folder as PNG, with the prompt that made them inside."""
    texts = _texts(context, prompt, extra_pnginfo)
    return Result(ui=_save_png(context, images, filename_prefix, "output", texts, SAVED_COMPRESSION))


@core_node("PreviewImage", category="image", display_name="Preview Image", output_node=True)
def preview_image(
    context: NodeContext, images: Image, prompt: PromptGraph = None, extra_pnginfo: ExtraPngInfo = None
) -> Result[None]:
    """Show images without keeping them: they are written to the temporary folder."""
    prefix = "ComfyUI_temp_" + "".join(secrets.choice(string.ascii_lowercase) for _ in range(5))
    texts = _texts(context, prompt, extra_pnginfo)
    return Result(ui=_save_png(context, images, prefix, "temp", texts, PREVIEW_COMPRESSION))


def _texts(context: NodeContext, prompt: JsonObject | None, extra: JsonObject | None) -> JsonObject:
    """What is written into a file: the prompt, then every member of ``extra_pnginfo``."""
    if context.settings.execution.disable_metadata:
        return {}
    texts: JsonObject = {} if prompt is None else {"prompt": prompt}
    return {**texts, **(extra or {})}


def _save_png(
    context: NodeContext, images: Tensor, prefix: str, kind: FileKind, texts: JsonObject, compress_level: int
) -> JsonObject:
    place = context.files.numbered(prefix, kind, width=images.shape[2], height=images.shape[1])
    saved: list[Json] = []
    for number, image in enumerate(images):
        context.check_cancelled()
        data = encode_png(image, texts, compress_level=compress_level)
        saved.append(_shown(context.files.write_numbered(place, ".png", data, offset=number, batch_number=number)))
    return {"images": saved}


def _shown(ref: FileRef) -> JsonObject:
    return {"filename": ref.filename, "subfolder": ref.subfolder, "type": ref.type}


@image_node("SaveAnimatedWEBP", category="image/animation", output_node=True)
def save_animated_webp(
    context: NodeContext,
    images: Image,
    filename_prefix: Annotated[str, Text(default="ComfyUI")],
    fps: Annotated[float, Float(default=6.0, min=0.01, max=1000.0, step=0.01)],
    lossless: Annotated[bool, Toggle(default=True)],
    quality: Annotated[int, Int(default=80, min=0, max=100)],
    method: Annotated[str, Choice(*WEBP_METHODS, bare=True)],
    prompt: PromptGraph = None,
    extra_pnginfo: ExtraPngInfo = None,
) -> Result[None]:
    """Save a batch of images as one animation, with the prompt that made it inside."""
    texts = _texts(context, prompt, extra_pnginfo)
    place = context.files.numbered(filename_prefix, "output", width=images.shape[2], height=images.shape[1])
    data = encode_webp(images, texts, fps=fps, lossless=lossless, quality=quality, method=WEBP_METHODS[method])
    saved = context.files.write_numbered(place, ".webp", data)
    return Result(ui={"images": [_shown(saved)], "animated": [len(images) != 1]})


@node(
    "SaveImageWebsocket", category="api/image", output_node=True, volatile=True,
    python_module="custom_nodes.websocket_image_save",
)  # fmt: skip
def save_image_websocket(context: NodeContext, images: Image) -> None:
    """Send images to the client over its WebSocket, as PNG, without writing a file."""
    for number, image in enumerate(images):
        data = encode_png(image, {}, compress_level=PREVIEW_COMPRESSION)
        context.progress(number, len(images), preview=Preview(data, "PNG"))
