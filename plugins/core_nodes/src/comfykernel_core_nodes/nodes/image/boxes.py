"""Nodes for bounding boxes: making, drawing, cutting along them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Final, TypeAlias, TypedDict

import numpy as np
import torch
from PIL import ImageDraw
from torch import Tensor

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.image.channels import opaque
from comfykernel_core_nodes.nodes.image.encoding import to_picture
from comfykernel_core_nodes.nodes.image.resampling import resize_image
from comfykernel_core_nodes.nodes.sockets import MAX_SIDE, Offset, Side
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.json_types import Json, JsonObject
from comfykernel_sdk.sockets import Image, Int, Out, Socket

box_node = extra_node("nodes_bounding_boxes")
crop_node = extra_node("nodes_images")


class Box(TypedDict, total=False):
    """A rectangle in pixels; what a detector says of it, or what a page's editor stores with it."""

    x: int
    y: int
    width: int
    height: int
    label: str
    score: float
    metadata: JsonObject


WHOLE: Final[Json] = {"x": 0, "y": 0, "width": 512, "height": 512}
"""What the page's editor starts from."""

Boxes: TypeAlias = Annotated[object, Socket("BOUNDING_BOX")]

EDGES: Final = ("x", "y", "width", "height")

COLOURS: Final = (
    (230, 60, 60), (60, 160, 230), (70, 190, 90), (240, 170, 40), (170, 90, 220), (40, 200, 190), (240, 110, 180),
    (150, 150, 60),
)  # fmt: skip
"""Of one box after the other."""

BLANK_SIDE: Final = 640
"""Least side of the canvas where there is no picture, in pixels."""

ELEMENT_UNITS: Final = 1000
"""Length of the canvas' sides in the coordinates of elements."""


def rectangle(value: object) -> Box:
    """One rectangle with whole numbers, its other members as they are.

    Raises:
        BadInput: it is none.
    """
    if isinstance(value, Mapping) and all(isinstance(value.get(edge), (int, float)) for edge in EDGES):
        return Box(**{**value, **{edge: round(value[edge]) for edge in EDGES}})  # type: ignore[typeddict-item]
    raise BadInput(
        f"{str(value)[:200]} is no bounding box.", type="invalid_bounding_box",
        hint="A bounding box has the members x, y, width and height, in pixels.",
    )  # fmt: skip


def rectangles(value: object) -> list[Box]:
    """All rectangles in a box, a list of boxes, or a list of lists."""
    if isinstance(value, (list, tuple)):
        return [box for part in value for box in rectangles(part)]
    return [] if value is None else [rectangle(value)]


@box_node("PrimitiveBoundingBox", category="utils/primitive", display_name="Bounding Box")
def primitive_bounding_box(x: Offset, y: Offset, width: Side, height: Side) -> Boxes:
    """A rectangle in pixels."""
    return Box(x=x, y=y, width=width, height=height)


@crop_node("ImageCropV2", category="image/transform", display_name="Crop Image")
def image_crop_v2(
    image: Image,
    crop_region: Annotated[
        object,
        Socket(
            "BOUNDING_BOX", options={"default": {"x": 0, "y": 0, "width": 512, "height": 512}, "component": "ImageCrop"}
        ),
    ],
) -> Image:
    """Cut a rectangle out; it is moved into the picture and made smaller where it is too large.

    Raises:
        BadInput: there is no rectangle.
    """
    found = rectangles(crop_region)
    if not found:
        raise BadInput("There is no bounding box to cut along.", type="invalid_bounding_box")
    box = found[0]
    x, y = max(0, min(box["x"], image.shape[2] - 1)), max(0, min(box["y"], image.shape[1] - 1))
    return image[:, y : y + max(1, box["height"]), x : x + max(1, box["width"])]


@box_node("DrawBBoxes", category="image", display_name="Draw BBoxes")
def draw_bboxes(bboxes: Boxes, image: Image | None = None) -> Annotated[Image, Out("out_image")]:
    """Draw rectangles on images, with their label and how certain it is.

    A list of lists has rectangles for each image, another list is drawn on all of them. Without images the canvas is
    grey and large enough for all rectangles.
    """
    groups = _groups(bboxes)
    if image is None:
        found = [box for group in groups for box in group]
        width = max([BLANK_SIDE, *(box["x"] + box["width"] for box in found)])
        height = max([BLANK_SIDE, *(box["y"] + box["height"] for box in found)])
        image = torch.full((len(groups), min(height, MAX_SIDE), min(width, MAX_SIDE), 3), 0.5)
    count = max(len(image), len(groups))
    return torch.stack([drawn(image[i % len(image)], groups[i % len(groups)]) for i in range(count)])


def _groups(value: object) -> list[list[Box]]:
    """Rectangles for each image; one list for all where they are not told apart."""
    if isinstance(value, (list, tuple)) and value and all(isinstance(part, (list, tuple)) for part in value):
        return [rectangles(part) for part in value]
    return [rectangles(value)]


def drawn(image: Tensor, boxes: Iterable[Box]) -> Tensor:
    """An image [height, width, channel] with rectangles and their labels, [height, width, 3]."""
    picture = to_picture(image).convert("RGB")
    draw = ImageDraw.Draw(picture)
    stroke = max(1, round(max(picture.size) / 400))
    for number, box in enumerate(boxes):
        colour = COLOURS[number % len(COLOURS)]
        corner = (box["x"], box["y"])
        draw.rectangle([corner, (box["x"] + max(0, box["width"] - 1), box["y"] + max(0, box["height"] - 1))],
                       outline=colour, width=stroke)  # fmt: skip
        if text := _caption(box):
            place = draw.textbbox(corner, text)
            draw.rectangle((place[0], place[1], place[2] + 4, place[3] + 4), fill=colour)
            draw.text((corner[0] + 2, corner[1] + 2), text, fill=(255, 255, 255))
    return torch.from_numpy(np.array(picture).astype(np.float32) / 255.0)


def _caption(box: Box) -> str:
    score = box.get("score")
    certain = f"{score:.2f}" if isinstance(score, (int, float)) else ""
    return f"{box.get('label') or ''} {certain}".strip()


@box_node("CreateBoundingBoxes", category="image", display_name="Create Bounding Boxes")
def create_bounding_boxes(
    width: Annotated[int, Int(default=1024, min=64, max=MAX_SIDE, step=16)],
    height: Annotated[int, Int(default=1024, min=64, max=MAX_SIDE, step=16)],
    editor_state: Annotated[object, Socket("BOUNDING_BOXES", options={"default": []})],
    last_incoming: Annotated[object, Socket("BOUNDING_BOXES", options={"default": []})] = None,
    background: Image | None = None,
    bboxes: Annotated[object, Socket("BOUNDING_BOX,ARRAY,STRING")] = None,
) -> tuple[
    Annotated[Image, Out("preview")],
    Annotated[Boxes, Out("bboxes")],
    Annotated[object, Socket("ARRAY"), Out("elements")],
]:
    """Rectangles that are drawn in the page, with a description, a text and colours for each.

    They come as picture, as rectangles in pixels, and as elements for prompts, in thousandths of the sides.

    Args:
        editor_state: what was drawn.
        last_incoming: the linked rectangles that the drawing was made from; other ones replace it.
        bboxes: rectangles, elements, or a JSON text of either, to start from.
        background: a picture below the rectangles.

    Raises:
        BadInput: a rectangle is none, or the text is no JSON.
    """
    incoming = _incoming(bboxes, width, height)
    edited = rectangles(editor_state)
    boxes = incoming if incoming and incoming != rectangles(last_incoming) else edited
    base = torch.full((1, height, width, 3), 0.5) if background is None else background[:1]
    canvas = opaque(resize_image(base, width, height, "bilinear", "center"), 3)[0]
    labelled = [Box(**{**box, "label": _words(box)}) for box in boxes]
    plain = [Box(x=box["x"], y=box["y"], width=box["width"], height=box["height"]) for box in boxes]
    return drawn(canvas, labelled).unsqueeze(0), plain, [element(box, width, height) for box in boxes]


def _words(box: Box) -> str:
    metadata = box.get("metadata") or {}
    return str(metadata.get("text") or metadata.get("desc") or "")


def element(box: Box, width: int, height: int) -> JsonObject:
    """A rectangle as an element of a prompt: type, top, left, bottom and right in thousandths, text, words, colours."""
    metadata = box.get("metadata") or {}
    kind = "text" if metadata.get("type") == "text" else "obj"
    found: JsonObject = {"type": kind, "bbox": _thousandths(box, width, height)}
    if kind == "text":
        found["text"] = metadata.get("text") or ""
    found["desc"] = metadata.get("desc") or ""
    if palette := metadata.get("palette"):
        found["color_palette"] = palette
    return found


def _thousandths(box: Box, width: int, height: int) -> list[Json]:
    lines = (
        (box["y"], height),
        (box["x"], width),
        (box["y"] + box["height"], height),
        (box["x"] + box["width"], width),
    )
    return [max(0, min(ELEMENT_UNITS, round(place * ELEMENT_UNITS / side))) for place, side in lines]


def _incoming(value: object, width: int, height: int) -> list[Box]:
    """Linked rectangles, elements or a JSON text of them, in pixels of the canvas."""
    if isinstance(value, str):
        if not value.strip():
            return []
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"The bounding boxes are no JSON: {error}.", type="invalid_bounding_box") from error
    if isinstance(value, (list, tuple)):
        return [box for part in value for box in _incoming(part, width, height)]
    if isinstance(value, Mapping) and isinstance(corners := value.get("bbox"), (list, tuple)) and len(corners) == 4:
        top, left, bottom, right = (
            round(float(corner) * side / ELEMENT_UNITS)
            for corner, side in zip(corners, (height, width, height, width), strict=True)
        )
        metadata = {"type": value.get("type", "obj"), "text": value.get("text", ""), "desc": value.get("desc", ""),
                    "palette": value.get("color_palette", [])}  # fmt: skip
        return [Box(x=left, y=top, width=right - left, height=bottom - top, metadata=metadata)]
    return rectangles(value)
