"""Nodes that show images to people: saved for good, saved for the session, sent to a client."""

from __future__ import annotations

from typing import Annotated, Final

from torch import Tensor

from comfykernel_core_nodes.nodes.declare import core_node, extra_node
from comfykernel_core_nodes.nodes.image.encoding import encode_apng, encode_png, encode_webp
from comfykernel_core_nodes.nodes.image.saved_files import (
    PREVIEW_COMPRESSION,
    SAVED_COMPRESSION,
    save_png,
    shown,
    temporary_prefix,
    texts_of,
)
from comfykernel_sdk.context import NodeContext, Preview
from comfykernel_sdk.nodes import Result, node
from comfykernel_sdk.sockets import Choice, ExtraPngInfo, Float, Image, Int, PromptGraph, Socket, Text, Toggle

image_node = extra_node("nodes_images")

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
    texts = texts_of(context, prompt, extra_pnginfo)
    saved = save_png(context, images, filename_prefix, "output", texts, SAVED_COMPRESSION)
    return Result(ui={"images": saved})


@core_node("PreviewImage", category="image", display_name="Preview Image", output_node=True)
def preview_image(
    context: NodeContext, images: Image, prompt: PromptGraph = None, extra_pnginfo: ExtraPngInfo = None
) -> Result[None]:
    """Show images without keeping them: they are written to the temporary folder."""
    texts = texts_of(context, prompt, extra_pnginfo)
    saved = save_png(context, images, temporary_prefix(), "temp", texts, PREVIEW_COMPRESSION)
    return Result(ui={"images": saved})


@image_node("SaveAnimatedPNG", category="image/animation", output_node=True)
def save_animated_png(
    context: NodeContext,
    images: Image,
    filename_prefix: Annotated[str, Text(default="ComfyUI")],
    fps: Annotated[float, Float(default=6.0, min=0.01, max=1000.0, step=0.01)],
    compress_level: Annotated[int, Int(default=4, min=0, max=9)],
    prompt: PromptGraph = None,
    extra_pnginfo: ExtraPngInfo = None,
) -> Result[None]:
    """Save a batch of images as one animated PNG, with the prompt that made it inside."""
    texts = texts_of(context, prompt, extra_pnginfo)
    place = context.files.numbered(filename_prefix, "output", width=images.shape[2], height=images.shape[1])
    data = encode_apng(images, texts, fps=fps, compress_level=compress_level)
    return Result(ui={"images": [shown(context.files.write_numbered(place, ".png", data))], "animated": [True]})


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
    texts = texts_of(context, prompt, extra_pnginfo)
    place = context.files.numbered(filename_prefix, "output", width=images.shape[2], height=images.shape[1])
    data = encode_webp(images, texts, fps=fps, lossless=lossless, quality=quality, method=WEBP_METHODS[method])
    saved = context.files.write_numbered(place, ".webp", data)
    return Result(ui={"images": [shown(saved)], "animated": [len(images) != 1]})


@node(
    "SaveImageWebsocket", category="api/image", output_node=True, volatile=True,
    python_module="custom_nodes.websocket_image_save",
)  # fmt: skip
def save_image_websocket(context: NodeContext, images: Image) -> None:
    """Send images to the client over its WebSocket, as PNG, without writing a file."""
    for number, image in enumerate(images):
        data = encode_png(image, {}, compress_level=PREVIEW_COMPRESSION)
        context.progress(number, len(images), preview=Preview(data, "PNG"))
