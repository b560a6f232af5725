"""A workflow file as a prompt graph, and the changes that the command line makes to it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
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


def read_workflow(source: str) -> Graph:
    """The graph in a file, or in standard input when ``source`` is ``-``.

    Takes the API format, bare or as a request (``{"prompt": ...}``).

    Raises:
        NotFound: there is no such file.
        BadInput: it can't be read or is no JSON.
        InvalidPrompt: it is JSON, but no graph in API format.
    """
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except FileNotFoundError:
        raise NotFound(f"There is no file {source}.") from None
    except OSError as error:
        raise BadInput(f"Can't read {source}: {error.strerror}.") from error
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{source} is no JSON: {error}.", type="invalid_json") from None
    if isinstance(found, dict) and isinstance(found.get("prompt"), dict):
        found = found["prompt"]
    if isinstance(found, dict) and isinstance(found.get("nodes"), list):
        hint = "In the editor choose File > Export (API) and run that file."
        raise InvalidPrompt(f"{source} is in the editor's format, which keeps the drawing, not the prompt.", hint=hint)
    if not isinstance(found, dict) or not all(isinstance(node, dict) for node in found.values()):
        raise InvalidPrompt(f"{source} is no workflow in API format.", hint='Expected {"ID": {"class_type": ...}}.')
    return found


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
