"""The prompt graph: node id -> class and inputs, links between nodes, and a builder for expansions."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import TypeAlias, TypeGuard

import msgspec

from .json_types import Json, JsonObject

Graph: TypeAlias = dict[str, JsonObject]
"""Node id -> ``{"class_type": str, "inputs": {...}}`` and whatever else the client sent along (``_meta`` ...)."""

Link: TypeAlias = list[Json]
"""``[node id, output index]``: the value comes from that output."""


def is_link(value: object) -> TypeGuard[Link]:
    """Tell whether an input value is a link: a list of a node id (text) and an output index (number)."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], (int, float))
        and not isinstance(value[1], bool)
    )


def unwrapped(value: Json) -> Json:
    """A constant that was wrapped so that it would not be taken for a link: ``{"__value__": [...]}``."""
    return value["__value__"] if isinstance(value, dict) and "__value__" in value else value


def links_of(node: Mapping[str, Json]) -> list[tuple[str, str, int]]:
    """The links of one graph node as ``(input name, node id, output index)``, in the order of the inputs."""
    inputs = node.get("inputs")
    if not isinstance(inputs, dict):
        return []
    return [(name, str(v[0]), int(v[1])) for name, v in inputs.items() if is_link(v)]  # type: ignore[arg-type]


class Expansion(msgspec.Struct, frozen=True):
    """What a node returns to have a graph run in its place.

    ``result`` holds one entry for each output of the node: a value, or a link into ``graph``.
    """

    graph: Graph
    result: tuple[object, ...]
    ui: Mapping[str, object] | None = None


class GraphNode:
    """A node under construction in a :class:`GraphBuilder`."""

    def __init__(self, id: str, class_type: str, inputs: dict[str, object]) -> None:
        self.id = id
        self.class_type = class_type
        self.inputs = inputs
        self.override_display_id: str | None = None

    def out(self, index: int) -> list[Json]:
        """Link to the output with this index."""
        return [self.id, index]

    def set_input(self, name: str, value: object) -> None:
        """Set an input; ``None`` removes it."""
        if value is None:
            self.inputs.pop(name, None)
        else:
            self.inputs[name] = value

    def get_input(self, name: str) -> object:
        """Value of an input, or ``None``."""
        return self.inputs.get(name)

    def set_override_display_id(self, node_id: str) -> None:
        """Show this node to clients as ``node_id`` instead of the node that expands."""
        self.override_display_id = node_id

    def serialize(self) -> dict[str, object]:
        """The node in the form of the prompt graph."""
        node: dict[str, object] = {"class_type": self.class_type, "inputs": dict(self.inputs)}
        if self.override_display_id is not None:
            node["override_display_id"] = self.override_display_id
        return node


default_prefix: ContextVar[list[object] | None] = ContextVar("default_prefix", default=None)
"""``[node id, call index, next graph index]`` of the node that runs; the engine sets it, builders count it up."""


class GraphBuilder:
    """Builds the graph of an expansion; ids get a prefix that is unique and the same at each run."""

    def __init__(self, prefix: str | None = None) -> None:
        self.prefix = self.alloc_prefix() if prefix is None else prefix
        self.nodes: dict[str, GraphNode] = {}
        self._counter = 1

    @staticmethod
    def alloc_prefix() -> str:
        """A prefix made of the running node's id, its call index and the number of builders made in that call."""
        state = default_prefix.get()
        if state is None:
            return "graph.0."
        node, call, index = state
        state[2] = int(str(index)) + 1
        return f"{node}.{call}.{index}."

    def node(self, class_type: str, id: str | None = None, **inputs: object) -> GraphNode:
        """Add a node, or give back the one that has this id already."""
        if id is None:
            id, self._counter = str(self._counter), self._counter + 1
        full = self.prefix + id
        if full not in self.nodes:
            self.nodes[full] = GraphNode(full, class_type, {})
            for name, value in inputs.items():
                self.nodes[full].set_input(name, value)
        return self.nodes[full]

    def lookup_node(self, id: str) -> GraphNode | None:
        """The node with this id (without prefix), or ``None``."""
        return self.nodes.get(self.prefix + id)

    def finalize(self) -> Graph:
        """The finished graph, for :class:`Expansion`."""
        return {id: node.serialize() for id, node in self.nodes.items()}  # type: ignore[misc]
