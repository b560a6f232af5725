"""Nodes that save images in formats for further work, and drawings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Annotated, BinaryIO, Final, Literal, Protocol, TypeAlias, TypedDict, runtime_checkable

import torch
from torch import Tensor

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.image import exr
from comfykernel_core_nodes.nodes.image.avif import encode_avif, encode_deep_avif
from comfykernel_core_nodes.nodes.image.colour_spaces import linear_light, scene_light
from comfykernel_core_nodes.nodes.image.encoding import encode_png
from comfykernel_core_nodes.nodes.image.png16 import encode_png16
from comfykernel_core_nodes.nodes.image.saved_files import SAVED_COMPRESSION, shown, texts_of
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.json_types import Json, JsonObject
from comfykernel_sdk.nodes import Result
from comfykernel_sdk.sockets import Choice, ExtraPngInfo, Float, Image, Int, Out, PromptGraph, Socket, Text

image_node = extra_node("nodes_images")

OPENING_TAG: Final = re.compile(r"<svg\b(?:[^>\"']|\"[^\"]*\"|'[^']*')*>")
"""The first tag of a drawing, in which ``>`` may stand between quotes."""


class Png(TypedDict):
    """PNG, for pictures as they are shown."""

    format: Literal["png"]
    bit_depth: Annotated[str, Choice("8-bit", "16-bit", default="8-bit")]
    input_color_space: Annotated[str, Choice("sRGB", default="sRGB")]


class Exr(TypedDict):
    """OpenEXR, linear light for compositing."""

    format: Literal["exr"]
    bit_depth: Annotated[str, Choice("16-bit float", "32-bit float", default="16-bit float")]
    input_color_space: Annotated[str, Choice("sRGB", "HDR", "linear", "linear ACEScg", default="sRGB")]


class Still(TypedDict):
    """A file for each image."""

    save_mode: Literal["still images"]


class Animated(TypedDict):
    """One file for all images."""

    save_mode: Literal["animated"]
    fps: Annotated[float, Float(default=6.0, min=0.01, max=1000.0, step=0.01)]
    loop_count: Annotated[int, Int(default=0, min=0, max=1000)]


class Avif(TypedDict):
    """AVIF, small files."""

    format: Literal["avif"]
    bit_depth: Annotated[str, Choice("auto", "8-bit YUV420", "10-bit YUV420", default="auto")]
    input_color_space: Annotated[str, Choice("sRGB", "HDR", "HDR PQ", default="sRGB")]
    crf: Annotated[int, Int(default=18, min=1, max=63)]
    save_mode: Still | Animated


Format: TypeAlias = Png | Exr | Avif


@image_node("SaveImageAdvanced", category="image", display_name="Save Image (Advanced)", output_node=True)
def save_image_advanced(
    context: NodeContext,
    images: Image,
    filename_prefix: Annotated[str, Text(default="ComfyUI")],
    format: Annotated[Format, Choice(tooltip="The kind of file.")],
    prompt: PromptGraph = None,
    extra_pnginfo: ExtraPngInfo = None,
) -> Result[Annotated[Image, Out("images")]]:
    """Save images as PNG, OpenEXR or AVIF, with the prompt that made them inside where the format can hold it.

    Raises:
        BadInput: the format can't hold so many channels, or needs a package that is missing.
    """
    texts = texts_of(context, prompt, extra_pnginfo)
    allowed = (1, 3) if format["format"] == "avif" else (1, 3, 4)
    if images.shape[-1] not in allowed:
        raise BadInput(
            f"The images have {images.shape[-1]} channels; {format['format']} files can hold {allowed}.",
            type="channel_count", hint="Take the transparency away with SplitImageWithAlpha.",
        )  # fmt: skip
    place = context.files.numbered(filename_prefix, "output", width=images.shape[2], height=images.shape[1])
    animated = format["format"] == "avif" and format["save_mode"]["save_mode"] == "animated"
    saved: list[Json] = []
    for number, part in enumerate([images] if animated else [images[i : i + 1] for i in range(len(images))]):
        context.check_cancelled()
        data = encoded(part, format, texts)
        ref = context.files.write_numbered(place, f".{format['format']}", data, offset=number, batch_number=number)
        saved.append(shown(ref))
    ui: dict[str, list[Json]] = {"images": saved}
    if animated and len(images) > 1:
        ui["animated"] = [True]
    return Result(images, ui=ui)


def encoded(images: Tensor, format: Format, texts: JsonObject) -> bytes:
    """One file of images [frame, height, width, channel]; several frames are those of an animation."""
    if format["format"] == "avif":
        return _avif(images, format, texts)
    if format["format"] == "exr":
        light, chromaticities = scene_linear(images[0], format["input_color_space"])
        half = format["bit_depth"] == "16-bit float"
        return exr.encode_exr(light, texts, half=half, chromaticities=chromaticities)
    encode = encode_png16 if format["bit_depth"] == "16-bit" else encode_png
    return encode(images[0], texts, compress_level=SAVED_COMPRESSION)


def _avif(images: Tensor, format: Avif, texts: JsonObject) -> bytes:
    mode, space, depth = format["save_mode"], format["input_color_space"], format["bit_depth"]
    fps, loops = (mode["fps"], mode["loop_count"]) if mode["save_mode"] == "animated" else (1.0, 0)
    deep = depth == "10-bit YUV420" or (depth == "auto" and space != "sRGB")
    if deep or space != "sRGB" or loops:
        return encode_deep_avif(images, colour_space=space, crf=format["crf"], fps=fps, loops=loops, deep=deep)
    return encode_avif(images, texts, crf=format["crf"], fps=fps)


def scene_linear(image: Tensor, space: str) -> tuple[Tensor, tuple[float, ...]]:
    """Linear light of an image [height, width, channel] in a colour space, and its chromaticities; alpha stays."""
    colours, alpha = image[..., :3], image[..., 3:]
    if space == "sRGB":
        colours = linear_light(colours)
    elif space == "HDR":
        colours = scene_light(colours)
    chromaticities = {"HDR": exr.REC_2020, "linear ACEScg": exr.ACES_AP1}.get(space, exr.REC_709)
    return torch.cat([colours, alpha], dim=-1), chromaticities


@runtime_checkable
class Drawings(Protocol):
    """What an SVG socket carries: drawings as files in memory."""

    data: Iterable[BinaryIO]


@image_node("SaveSVGNode", category="image/save", output_node=True)
def save_svg(
    context: NodeContext,
    svg: Annotated[object, Socket("SVG")],
    filename_prefix: Annotated[str, Text(default="svg/ComfyUI")],
    prompt: PromptGraph = None,
    extra_pnginfo: ExtraPngInfo = None,
) -> Result[None]:
    """Save drawings to the output folder as SVG, with the prompt that made them inside.

    Raises:
        BadInput: what came is no drawing.
    """
    texts = texts_of(context, prompt, extra_pnginfo)
    place = context.files.numbered(filename_prefix, "output")
    saved: list[Json] = []
    for number, drawing in enumerate(_drawings(svg)):
        data = with_metadata(drawing, texts).encode()
        saved.append(shown(context.files.write_numbered(place, ".svg", data, offset=number, batch_number=number)))
    return Result(ui={"images": saved})


def _drawings(svg: object) -> list[str]:
    if isinstance(svg, str):
        return [svg]
    if isinstance(svg, Drawings):
        found = []
        for file in svg.data:
            file.seek(0)
            found.append(file.read().decode("utf-8"))
        return found
    raise BadInput(f"{type(svg).__name__} is no drawing.", type="invalid_svg", hint="Link a node that gives SVG.")


def with_metadata(drawing: str, texts: JsonObject) -> str:
    """A drawing with texts as JSON in its element ``metadata``, behind the first tag."""
    tag = OPENING_TAG.search(drawing)
    if not texts or tag is None:
        return drawing
    # The end of a character-data section may not stand inside of it; in JSON it can be written otherwise.
    data = json.dumps(texts).replace("]]>", "]]\\u003e")
    return f"{drawing[: tag.end()]}\n<metadata><![CDATA[{data}]]></metadata>{drawing[tag.end() :]}"
