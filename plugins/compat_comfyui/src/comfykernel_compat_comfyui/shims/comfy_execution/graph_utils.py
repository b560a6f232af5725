"""Builds the graphs of expansions."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from comfykernel_sdk import graph as sdk
from comfykernel_sdk.graph import Graph, GraphNode, is_link

if TYPE_CHECKING:
    from comfykernel_sdk.json_types import JsonObject

__all__ = ["GraphBuilder", "Node", "add_graph_prefix", "is_link"]

Node = GraphNode


class GraphBuilder(sdk.GraphBuilder):
    """Builds a graph node by node."""

    @classmethod
    def set_default_prefix(cls, prefix_root: str, call_index: int, graph_index: int = 0) -> None:
        """Have builders that are made without a prefix begin with this one."""
        sdk.default_prefix.set([prefix_root, call_index, graph_index])

    def replace_node_output(self, node_id: str, index: int, new_value: object) -> None:
        """Put another value wherever an output of a node is used; ``None`` removes those inputs."""
        old = [self.prefix + node_id, index]
        for node in self.nodes.values():
            for name, value in list(node.inputs.items()):
                if is_link(value) and list(value) == old:
                    node.set_input(name, new_value)

    def remove_node(self, id: str) -> None:
        """Take a node out of the graph."""
        del self.nodes[self.prefix + id]


def add_graph_prefix(
    graph: Graph, outputs: list[object] | tuple[object, ...], prefix: str
) -> tuple[Graph, tuple[object, ...]]:
    """The graph and its outputs with ``prefix`` before every node id, in links too."""

    def prefixed(value: object) -> object:
        return [prefix + str(value[0]), value[1]] if is_link(value) else value

    renamed: Graph = {}
    for id, node in graph.items():
        inputs = node.get("inputs")
        named = inputs.items() if isinstance(inputs, dict) else ()
        changed = {name: prefixed(value) for name, value in named}
        renamed[prefix + id] = {**node, "inputs": cast("JsonObject", changed)}
    return renamed, tuple(prefixed(output) for output in outputs)
