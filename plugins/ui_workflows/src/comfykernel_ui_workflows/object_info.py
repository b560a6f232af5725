"""Nodes as another server's ``GET /object_info`` describes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.json_types import Json, JsonObject
from comfykernel_sdk.nodes import InputGroup, InputSpec, NodeSpec, OutputSpec, Slots

CHOICE: Final = "COMFY_DYNAMICCOMBO_V3"
GROWING: Final = "COMFY_AUTOGROW_V3"
MATCHED: Final = "COMFY_MATCHTYPE_V3"

DEEPEST: Final = 8
"""Choices inside choices; deeper ones are taken as plain."""

MOST_SLOTS: Final = 1_000
"""Slots of a growing group."""


def specs_of(object_info: Json) -> dict[str, NodeSpec]:
    """Specs of all nodes in an answer of ``/object_info``.

    Raises:
        BadInput: it is none.
    """
    if not isinstance(object_info, dict) or not all(_is_node(info) for info in object_info.values()):
        hint = "Save what GET /object_info answers."
        raise BadInput("This is no description of nodes.", hint=hint, type="invalid_object_info")
    return {id: _spec(id, info) for id, info in object_info.items() if isinstance(info, dict)}


def _is_node(info: Json) -> bool:
    return isinstance(info, dict) and isinstance(info.get("input"), dict)


def _spec(id: str, info: JsonObject) -> NodeSpec:
    names, types = info.get("output_name"), info.get("output")
    outputs = zip(types, names, strict=False) if isinstance(types, list) and isinstance(names, list) else ()
    title = info.get("display_name")
    return NodeSpec(
        id=id,
        display_name=title if isinstance(title, str) else None,
        inputs=list(_inputs(info["input"])),
        outputs=[OutputSpec(type=str(type), name=str(name)) for type, name in outputs],
        output_node=bool(info.get("output_node")),
    )


def _inputs(groups: Json, depth: int = 0) -> Iterator[InputSpec]:
    for group in ("required", "optional"):
        declared = groups.get(group) if isinstance(groups, dict) else None
        for name, config in declared.items() if isinstance(declared, dict) else ():
            yield _input(name, config, "optional" if group == "optional" else "required", depth)


def _input(name: str, config: Json, group: InputGroup, depth: int) -> InputSpec:
    """An input from ``[type or choices, options]``."""
    parts = config if isinstance(config, list) and config else ["*"]
    options = parts[1] if len(parts) > 1 and isinstance(parts[1], dict) else {}
    if isinstance(parts[0], list):
        return InputSpec(name=name, type="COMBO", group=group, choices=parts[0], options=options)
    spec = InputSpec(name=name, type=str(parts[0]), group=group, options=options)
    listed = options.get("options")
    if spec.type == "COMBO":
        spec.choices = listed if isinstance(listed, list) else []
    elif spec.type == CHOICE and depth < DEEPEST:
        branches = [each for each in (listed if isinstance(listed, list) else []) if isinstance(each, dict)]
        spec.branches = {str(each.get("key")): list(_inputs(each.get("inputs"), depth + 1)) for each in branches}
    elif spec.type == GROWING:
        spec.slots = _slots(options.get("template"), depth)
    elif spec.type == MATCHED:
        spec.match = "*"
    return spec


def _slots(template: Json, depth: int) -> Slots | None:
    if not isinstance(template, Mapping):
        return None
    inner = next(_inputs(template.get("input"), depth + 1), None)
    if inner is None:
        return None
    names, least, most = (template.get(each) for each in ("names", "min", "max"))
    least = least if isinstance(least, int) else 1
    if isinstance(names, list):
        return Slots(input=inner, names=[str(name) for name in names[:MOST_SLOTS]], min=least)
    prefix, count = str(template.get("prefix")), min(most, MOST_SLOTS) if isinstance(most, int) else MOST_SLOTS
    return Slots(input=inner, names=[f"{prefix}{index}" for index in range(count)], prefix=prefix, min=least)
