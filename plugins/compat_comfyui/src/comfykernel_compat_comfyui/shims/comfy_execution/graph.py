"""What nodes give out in place of values, and the graph that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfykernel_sdk.nodes import Blocker

if TYPE_CHECKING:
    from comfykernel_sdk.graph import Graph
    from comfykernel_sdk.json_types import JsonObject

__all__ = ["DependencyCycleError", "DynamicPrompt", "ExecutionBlocker", "NodeInputError", "NodeNotFoundError"]


class ExecutionBlocker(Blocker):
    """Given out instead of a value: nodes that would use it do not run. A message makes them fail with it."""

    __slots__ = ()


class DependencyCycleError(Exception):
    """Raised when nodes wait for each other."""


class NodeInputError(Exception):
    """Raised when an input of a node makes no sense."""


class NodeNotFoundError(Exception):
    """Raised when there is no node with an id."""


class DynamicPrompt:
    """A prompt and the nodes that were added to it.

    The engine hands its own object of the same methods to nodes that ask for ``DYNPROMPT``.
    """

    def __init__(self, original_prompt: Graph) -> None:
        self.original_prompt = original_prompt
        self.ephemeral_prompt: Graph = {}
        self._parents: dict[str, tuple[str, str]] = {}

    def get_node(self, node_id: str) -> JsonObject:
        """A node; raises NodeNotFoundError."""
        for graph in (self.ephemeral_prompt, self.original_prompt):
            if node_id in graph:
                return graph[node_id]
        raise NodeNotFoundError(f"Node {node_id} is not in the prompt.")

    def has_node(self, node_id: str) -> bool:
        """Whether there is a node with this id."""
        return node_id in self.original_prompt or node_id in self.ephemeral_prompt

    def add_ephemeral_node(self, node_id: str, node_info: JsonObject, parent_id: str, display_id: str) -> None:
        """Add a node of an expansion."""
        self.ephemeral_prompt[node_id] = node_info
        self._parents[node_id] = (parent_id, display_id)

    def get_real_node_id(self, node_id: str) -> str:
        """The node of the prompt that this one descends from."""
        while node_id in self._parents:
            node_id = self._parents[node_id][0]
        return node_id

    def get_parent_node_id(self, node_id: str) -> str | None:
        """The node whose expansion made this one."""
        return self._parents[node_id][0] if node_id in self._parents else None

    def get_display_node_id(self, node_id: str) -> str:
        """The node that clients see."""
        while node_id in self._parents:
            node_id = self._parents[node_id][1]
        return node_id

    def all_node_ids(self) -> set[str]:
        """Ids of all nodes."""
        return {*self.original_prompt, *self.ephemeral_prompt}

    def get_original_prompt(self) -> Graph:
        """The prompt as it was submitted."""
        return self.original_prompt
