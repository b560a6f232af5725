"""Puts nodes in the place of those whose id is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfykernel_sdk.graph import is_link

if TYPE_CHECKING:
    from collections.abc import Mapping

    from comfykernel_sdk.graph import Graph
    from comfykernel_sdk.json_types import Json, JsonObject
    from comfykernel_sdk.nodes import Replacement


def replace_nodes(graph: Graph, replacements: Mapping[str, Replacement]) -> Graph:
    """The graph with every replacement made, those of replacements too; the same graph when there is none."""
    for _ in replacements:
        gone = {id: r for id, node in graph.items() if (r := replacements.get(_class_of(node))) is not None}
        if not gone:
            break
        graph = {id: _rewired(_stand_in(gone.get(id), node), gone) for id, node in graph.items()}
    return graph


def _class_of(node: object) -> str:
    return str(node.get("class_type")) if isinstance(node, dict) else ""


def _stand_in(replacement: Replacement | None, node: JsonObject) -> JsonObject:
    if replacement is None:
        return node
    given = node.get("inputs")
    inputs: JsonObject = given if isinstance(given, dict) else {}
    if (names := replacement.inputs) is not None:
        inputs = {new: inputs[old] for new, old in names.items() if old in inputs}
    return {**node, "class_type": replacement.new, "inputs": {**inputs, **replacement.values}}


def _rewired(node: JsonObject, gone: Mapping[str, Replacement]) -> JsonObject:
    """The node with its links to replaced nodes at the outputs that these have now."""
    inputs = node.get("inputs") if isinstance(node, dict) else None
    if not isinstance(inputs, dict):
        return node

    def link(value: Json) -> Json:
        if not is_link(value) or (replacement := gone.get(str(value[0]))) is None or replacement.outputs is None:
            return value
        index = int(value[1])  # type: ignore[arg-type]
        return [value[0], replacement.outputs.get(index, index)]

    return {**node, "inputs": {name: link(value) for name, value in inputs.items()}}
