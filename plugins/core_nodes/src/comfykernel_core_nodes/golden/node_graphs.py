"""Graphs of records, run by the engine over the installed core nodes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from comfykernel_core_nodes.golden.records import Absent
from comfykernel_core_nodes.nodes.pack import core_pack
from comfykernel_sdk.nodes import NodeDefinition, node
from comfykernel_sdk.settings import Settings
from comfykernel_sdk.sockets import AnyValue
from comfykernel_sdk.testing import GraphRunner


@node("ItemsOfList")
def items_of_list(items: AnyValue) -> list[AnyValue]:
    """Give the items of a list one by one, as nodes that take lists get them."""
    return list(items) if isinstance(items, list) else [items]


@cache
def _definitions() -> dict[str, NodeDefinition]:
    return core_pack().nodes


@cache
def _runner() -> GraphRunner:
    settings = Settings()
    settings.execution.cache = "none"
    return GraphRunner([*_definitions().values(), items_of_list], settings=settings)


def run_graph(
    graph: Mapping[str, Mapping[str, Any]], leaves: Mapping[str, object], wanted: Mapping[str, tuple[str, int]]
) -> dict[str, list[Any]]:
    """The lists of values of the wanted outputs (name -> entry, output) of a graph.

    graph: entry -> `node` and `inputs`, where `[entry, output]` is a link; leaves: values of entries without a node.
    Raises `Absent` for a node that is not there, and what a node raises.
    """
    for entry in graph.values():
        if entry["node"] not in _definitions():
            raise Absent(f"no node {entry['node']}")
    prompt: dict[str, Any] = {}
    for id, entry in graph.items():
        inputs = {name: _value(value, graph, leaves) for name, value in entry["inputs"].items()}
        if _definitions()[entry["node"]].spec.input_is_list:
            for name, value in entry["inputs"].items():
                items = [_value(item, graph, leaves)["__value__"] for item in value]
                prompt[f"{id} {name}"] = {"class_type": "ItemsOfList", "inputs": {"items": {"__value__": items}}}
                inputs[name] = [f"{id} {name}", 0]
        prompt[id] = {"class_type": entry["node"], "inputs": inputs}
    run = _runner().run(prompt, outputs=sorted({id for id, _ in wanted.values()}))
    if run.exception is not None:
        raise run.exception
    if run.status != "done":
        raise RuntimeError(f"the graph ended as {run.status}: {run.error}")
    return {name: run.outputs[id][output] for name, (id, output) in wanted.items()}


def run_single(node: str, inputs: Mapping[str, object]) -> list[list[Any]]:
    """All outputs of one node, each as the list of its values."""
    if node not in _definitions():
        raise Absent(f"no node {node}")
    prompt: dict[str, Any] = {
        "op": {"class_type": node, "inputs": {name: {"__value__": value} for name, value in inputs.items()}}
    }
    run = _runner().run(prompt, outputs=["op"])
    if run.exception is not None:
        raise run.exception
    return run.outputs["op"]


def _value(value: object, graph: Mapping[str, object], leaves: Mapping[str, object]) -> Any:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
        if value[0] in graph:
            return value
        if value[0] in leaves:
            return {"__value__": leaves[value[0]]}
    return {"__value__": value}
