"""The graph of one run: nodes of the prompt and of expansions, with their place and their links worked out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from comfykernel_sdk.errors import ComfykernelError
from comfykernel_sdk.events import NodePlace
from comfykernel_sdk.graph import is_link, unwrapped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from comfykernel_sdk.graph import Graph
    from comfykernel_sdk.json_types import Json, JsonObject

    from .node_class import NodeClass


DEEPEST: Final = 1_000
"""Expansions inside of each other: enough for loops that are made so, few enough for the memory that their ids take."""


class GraphError(ComfykernelError):
    """Raised when the graph of a run or of an expansion can't be executed; ``node_id`` may name the culprit."""

    default_type = "graph_error"
    node_id = ""


@final
class Vertex:
    """One node of a run. ``constants`` are ready one-item lists, ``links`` are ``(input, source id, output index)``."""

    __slots__ = (
        "asked", "constants", "depth", "id", "links", "node_class", "parent", "place", "signature", "sources", "strong",
    )  # fmt: skip

    def __init__(self, id: str, node: JsonObject, node_class: NodeClass, place: NodePlace, depth: int = 0) -> None:
        self.id = id
        self.depth = depth
        self.node_class = node_class
        self.place = place
        self.parent = place.parent_node_id
        self.signature = b""
        self.constants: dict[str, list[object]] = {}
        self.links: list[tuple[str, str, int]] = []
        sources: dict[str, None] = {}
        lazy: dict[str, None] = {}
        inputs = node.get("inputs")
        inputs = inputs if isinstance(inputs, dict) else {}
        declared = node_class.declared_with(inputs)
        for name, value in inputs.items():
            if isinstance(value, list) and is_link(value):
                if name not in declared and not node_class.spec.accepts_any_input:
                    continue
                source = str(value[0])
                (lazy if name in node_class.lazy else sources)[source] = None
                if name in node_class.raw:
                    self.constants[name] = [value]
                else:
                    self.links.append((name, source, int(value[1])))  # type: ignore[arg-type]
            elif name in declared or node_class.spec.accepts_any_constant:
                self.constants[name] = [unwrapped(value)]
        self.strong = tuple(sources)
        """Ids of the nodes that must have run before this one."""
        self.asked: frozenset[str] = frozenset()
        """Names of the lazy inputs that it has asked for."""
        self.sources = tuple(sources | lazy) if lazy else self.strong
        """The same with those that are only wanted when the node asks for them."""


class RunGraph:
    """All nodes of a run by id. Nodes whose class is not installed are left out until somebody needs them."""

    def __init__(self, submitted: Graph, classes: Mapping[str, NodeClass]) -> None:
        self.submitted: Graph = dict(submitted)
        self.nodes: Graph = dict(submitted)
        self.vertices: dict[str, Vertex] = {}
        self._classes = classes
        for id, node in submitted.items():
            node_class = classes.get(str(node.get("class_type")))
            if node_class is not None:
                self.vertices[id] = Vertex(id, node, node_class, NodePlace(id, id))

    def vertex(self, id: str) -> Vertex:
        """The node with this id.

        Raises:
            GraphError: there is none, or its class is not installed.
        """
        found = self.vertices.get(id)
        if found is None:
            if id not in self.nodes:
                raise GraphError(f"A link points to node {id!r}, which is not in the graph.", type="missing_node")
            raise _missing_class(id, self.nodes[id])
        return found

    def visible(self, vertex: Vertex) -> str:
        """Id of the node of the prompt that a client sees in its place."""
        place = vertex.place
        return place.display_node_id if place.display_node_id in self.submitted else place.real()

    def record_change(self, id: str, tokens: list[Json]) -> None:
        """Note the change tokens of a node where nodes that save the prompt see them."""
        node: JsonObject = {**self.nodes[id], "is_changed": tokens}
        self.nodes[id] = node
        if id in self.submitted:
            self.submitted[id] = node

    def expand(self, parent: Vertex, graph: Graph) -> list[Vertex]:
        """Add the nodes of an expansion.

        Raises:
            GraphError: an id is taken, a class is not installed, a link points nowhere, or it never ends.
        """
        if parent.depth >= DEEPEST:
            text = f"Expansions lie more than {DEEPEST} deep in each other, down to one of {parent.node_class.id}."
            raise GraphError(
                text, hint="A node that expands into itself has to stop some time.", type="endless_expansion"
            )
        for id, node in graph.items():
            if id in self.nodes:
                text = f"The expansion of node {parent.id!r} adds node {id!r}, which exists."
                raise GraphError(text, hint="Let GraphBuilder make the ids.", type="duplicate_node")
            if str(node.get("class_type")) not in self._classes:
                raise _missing_class(id, node)
        self.nodes.update(graph)
        added = []
        for id, node in graph.items():
            self.vertices[id] = self._inner(parent, id, node)
            added.append(self.vertices[id])
        for vertex in added:
            for source in vertex.sources:
                self.vertex(source)
        return added

    def _inner(self, parent: Vertex, id: str, node: JsonObject) -> Vertex:
        shown = node.get("override_display_id")
        display = parent.place.display_node_id
        if shown is not None:
            known = self.vertices.get(str(shown))
            display = known.place.display_node_id if known is not None else str(shown)
        place = NodePlace(id, display, parent.id, parent.place.real())
        return Vertex(id, node, self._classes[str(node["class_type"])], place, parent.depth + 1)

    # What nodes with the hidden input DYNPROMPT call.

    def get_node(self, node_id: str) -> JsonObject:
        """A node of the prompt or of an expansion."""
        return self.nodes[node_id]

    def has_node(self, node_id: str) -> bool:
        """Whether there is a node with this id."""
        return node_id in self.nodes

    def all_node_ids(self) -> set[str]:
        """Ids of all nodes, those of expansions included."""
        return set(self.nodes)

    def get_original_prompt(self) -> Graph:
        """The prompt as it was submitted."""
        return self.submitted

    def get_parent_node_id(self, node_id: str) -> str | None:
        """The node whose expansion made this one."""
        return self.vertex(node_id).parent

    def get_real_node_id(self, node_id: str) -> str:
        """The node of the prompt that this one descends from."""
        return self.vertex(node_id).place.real()

    def get_display_node_id(self, node_id: str) -> str:
        """The node that clients see."""
        return self.vertex(node_id).place.display_node_id


def _missing_class(id: str, node: JsonObject) -> GraphError:
    name = node.get("class_type")
    error = GraphError(f"The class {name!r} of node {id!r} is not installed.", type="missing_node_type")
    error.node_id = id
    return error
