"""The changes that the command line makes to a prompt graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from comfykernel.near_miss import known_or_near
from comfykernel_sdk.errors import BadInput, InvalidPrompt, NotFound
from comfykernel_sdk.graph import Graph, is_link

if TYPE_CHECKING:
    from comfykernel_sdk.json_types import Json
    from comfykernel_sdk.nodes import NodeSpec

SEED_INPUTS: Final = ("seed", "noise_seed")
MAX_SEED: Final = 2**64 - 1


def set_input(graph: Graph, assignment: str, specs: Mapping[str, NodeSpec]) -> None:
    """Change one input in place: ``NODE.INPUT=VALUE``; NODE is an id, or a title or class that only one node has.

    VALUE is JSON where that makes sense and text otherwise; an input that is declared as text stays text.

    Raises:
        BadInput: it is not of that form.
        NotFound: no such node or input.
    """
    target, equals, text = assignment.partition("=")
    name, dot, field = target.rpartition(".")
    if not (equals and dot and name and field):
        raise BadInput(f"{assignment!r} is not of the form NODE.INPUT=VALUE.")
    node = graph[_find_node(graph, name)]
    inputs = node.setdefault("inputs", {})
    if not isinstance(inputs, dict):
        raise InvalidPrompt(f"The inputs of node {name} must be an object.")
    spec = specs.get(str(node.get("class_type")))
    declared = {each.name: each.type for each in spec.inputs} if spec else {}
    if field not in inputs and field not in declared:
        hint = known_or_near(field, {*inputs, *declared}, what="Inputs")
        raise NotFound(f"Node {name} has no input {field!r}.", hint=hint)
    inputs[field] = text if declared.get(field) == "STRING" else _json_or_text(text)


def set_seed(graph: Graph, seed: int) -> None:
    """Give every node with a seed this one, in place.

    Raises:
        NotFound: no node has a seed.
    """
    found = False
    for node in graph.values():
        inputs = node.get("inputs")
        for name in SEED_INPUTS if isinstance(inputs, dict) else ():
            if name in inputs and not is_link(inputs[name]):  # type: ignore[operator, index, call-overload]
                inputs[name], found = seed, True  # type: ignore[index, call-overload]
    if not found:
        raise NotFound("No node of this workflow has a seed.", hint="Set another input with --set NODE.INPUT=VALUE.")


def _find_node(graph: Graph, name: str) -> str:
    if name in graph:
        return name
    named = [id for id, node in graph.items() if name in (node.get("class_type"), _title(node))]
    if len(named) == 1:
        return named[0]
    if named:
        raise BadInput(f"{name!r} names several nodes.", hint=f"Use an id: {', '.join(named)}.")
    known = {*graph, *(str(node.get("class_type")) for node in graph.values())}
    raise NotFound(f"There is no node {name!r} in this workflow.", hint=known_or_near(name, known, what="Nodes"))


def _title(node: Mapping[str, Json]) -> Json:
    meta = node.get("_meta")
    return meta.get("title") if isinstance(meta, dict) else None


def _json_or_text(text: str) -> Json:
    try:
        value: Json = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    return value
