"""Check one node of a prompt: presence of inputs, links, constants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from comfykernel_sdk.dynamic import active_inputs
from comfykernel_sdk.json_types import Json, JsonObject

from ._values import (
    choice_error,
    conversion_error,
    convert,
    fits,
    input_config,
    node_error,
    range_error,
    shared_types,
    unknown_slots,
    unwrap,
)

if TYPE_CHECKING:
    from comfykernel_sdk.graph import Graph
    from comfykernel_sdk.nodes import InputSpec, NodeSpec, OutputSpec

Choices = Callable[["InputSpec"], "list[Json] | None"]
"""Gives the allowed values of an input, ``None`` when it has no list."""


class BrokenLink(Exception):
    """Raised when a link points nowhere: no such node, or no such output."""


class Checked(msgspec.Struct):
    """What one node's check gave. ``inputs`` holds converted values; ``linked_types`` the types of linked inputs;
    ``matched`` the types that the links leave for each type template."""

    errors: list[JsonObject]
    inputs: JsonObject
    linked_types: dict[str, str]
    matched: dict[str, str]


def check_node(
    graph: Graph, specs: dict[str, NodeSpec], node_id: str, choices: Choices, done: Mapping[str, Checked]
) -> Checked:
    """Check all declared inputs of a node; ``done`` are the nodes that it may be linked to.

    Raises:
        BrokenLink: an input is linked to nothing.
    """
    spec = specs[str(graph[node_id]["class_type"])]
    given = graph[node_id].get("inputs")
    checked = Checked([], dict(given) if isinstance(given, dict) else {}, {}, {})
    for declared in active_inputs(spec.inputs, checked.inputs):
        if declared.group == "hidden":
            continue
        if declared.slots is not None:
            checked.errors.extend(unknown_slots(declared, checked.inputs))
            continue
        if declared.name not in checked.inputs:
            if declared.group == "required":
                extra: JsonObject = {"input_name": declared.name}
                checked.errors.append(
                    node_error("required_input_missing", "Required input is missing", declared.name, extra)
                )
            continue
        error = _check_input(graph, specs, spec, declared, checked, choices, done)
        if error is not None:
            checked.errors.append(error)
    return checked


def _check_input(
    graph: Graph,
    specs: dict[str, NodeSpec],
    spec: NodeSpec,
    declared: InputSpec,
    checked: Checked,
    choices: Choices,
    done: Mapping[str, Checked],
) -> JsonObject | None:
    value = checked.inputs[declared.name]
    if isinstance(value, list) and declared.branches is None:
        return _check_link(graph, specs, spec, declared, checked, value, choices, done)
    value = unwrap(value)
    try:
        value = convert(declared, value)
    except (TypeError, ValueError, OverflowError) as error:
        return conversion_error(declared, input_config(declared, choices(declared)), value, error)
    checked.inputs[declared.name] = value
    if spec.validates is not None and ("*" in spec.validates or declared.name in spec.validates):
        return None
    allowed = choices(declared)
    if allowed is not None and declared.as_list:
        return choice_error(declared, allowed, value)
    return range_error(declared, value)


def _check_link(
    graph: Graph,
    specs: dict[str, NodeSpec],
    spec: NodeSpec,
    declared: InputSpec,
    checked: Checked,
    link: list[Json],
    choices: Choices,
    done: Mapping[str, Checked],
) -> JsonObject | None:
    if len(link) != 2:
        message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
        config = input_config(declared, choices(declared))
        extra: JsonObject = {"input_name": declared.name, "input_config": config, "received_value": link}
        return node_error("bad_linked_input", message, declared.name, extra)
    output, source = linked_output(graph, specs, declared.name, link), done.get(str(link[0]))
    received = source.matched.get(output.match, output.type) if source and output.match else output.type
    checked.linked_types[declared.name] = received
    wanted = checked.matched.get(declared.match, declared.type) if declared.match else declared.type
    flexible = output.match is not None or declared.match is not None
    common = shared_types(received, wanted) if flexible else wanted if fits(received, wanted) else ""
    if declared.match:
        checked.matched[declared.match] = common or wanted
    if common or spec.checks_types:
        return None
    config = input_config(declared, choices(declared))
    shown = wanted if declared.match else _shown_type(declared, config)
    details = f"{declared.name}, received_type({received}) mismatch input_type({shown})"
    extra = {"input_name": declared.name, "input_config": config, "received_type": received, "linked_node": link}
    return node_error("return_type_mismatch", "Return type mismatch between linked nodes", details, extra)


def _shown_type(declared: InputSpec, config: Json) -> str:
    return str(config[0]) if isinstance(config, list) else declared.type


def linked_output(graph: Graph, specs: dict[str, NodeSpec], name: str, link: list[Json]) -> OutputSpec:
    """The output that a link points to.

    Raises:
        BrokenLink: it points nowhere.
    """
    source, slot = link
    if not isinstance(source, str) or source not in graph:
        raise BrokenLink(f"Input {name!r} is linked to node {source!r}, which is not in the prompt.")
    outputs = specs[str(graph[source]["class_type"])].outputs
    if not isinstance(slot, int) or isinstance(slot, bool) or not -len(outputs) <= slot < len(outputs):
        raise BrokenLink(f"Input {name!r} is linked to output {slot!r} of node {source!r}, which has {len(outputs)}.")
    return outputs[slot]
