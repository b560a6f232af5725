"""Nodes that put drawn rectangles into prompts, in the form that a model was trained on."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Annotated

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.json_types import JsonObject
from comfykernel_sdk.sockets import Out, Socket, Text

layout_node = extra_node("nodes_flux")


@layout_node("Flux3LayoutPrompt", category="utils/string", display_name="FLUX 3 Image Layout Prompt")
def flux3_layout_prompt(
    prompt: Annotated[str, Text(default="", multiline=True)], element: Annotated[object, Socket("ARRAY")]
) -> Annotated[str, Out("prompt")]:
    """Append the elements of Create Bounding Boxes to a prompt, as the table that FLUX 3 reads.

    A row has an id, a box [top, left, bottom, right] in thousandths of the picture, and a description; the text of an
    element stands quoted in it (https://docs.bfl.ai/flux_3/flux3_image_bounding_boxes). Without elements the prompt
    stays as it is.

    Args:
        prompt: what the picture shows; <obj_1> in it stands for the first box.
        element: the elements.

    Raises:
        BadInput: an element has no box.
    """
    rows = [
        {"id": f"obj_{number}", "bbox": corners(each), "desc": description(each)}
        for number, each in enumerate(elements(element), 1)
    ]
    table = json.dumps(rows, ensure_ascii=False)
    return f"{prompt.rstrip()} {table}".lstrip() if rows else prompt


def elements(value: object) -> list[Mapping[str, object]]:
    """Elements in a list, or one of them.

    Raises:
        BadInput: something else is among them.
    """
    found = [] if value is None else [value] if isinstance(value, Mapping) else value
    if not isinstance(found, list | tuple) or not all(isinstance(each, Mapping) for each in found):
        raise _no_element(value)
    return list(found)


def corners(element: Mapping[str, object]) -> list[int]:
    """Top, left, bottom and right of an element, whole numbers in thousandths of the sides.

    Raises:
        BadInput: it has no box.
    """
    box = element.get("bbox")
    if not isinstance(box, list | tuple) or len(box) != 4:
        raise _no_element(element)
    if not all(isinstance(side, int | float) and math.isfinite(side) for side in box):
        raise _no_element(element)
    return [round(side) for side in box]


def description(element: Mapping[str, object]) -> str:
    """What an element looks like; a text that it shows comes first, quoted, unless its words have it already."""
    words, text = (str(element.get(name) or "").strip() for name in ("desc", "text"))
    if element.get("type") != "text" or not text or f'"{text}"' in words:
        return words
    shown = f'Text reading "{text}"'
    return f"{shown}, {words}" if words else shown


def _no_element(value: object) -> BadInput:
    form: JsonObject = {"type": "obj", "bbox": [0, 0, 500, 1000], "desc": "a tree"}
    return BadInput(
        f"{str(value)[:200]} is no element.", type="invalid_element",
        hint=f"An element looks like {json.dumps(form)}; Create Bounding Boxes makes them.",
    )  # fmt: skip
