"""Which nodes of a graph a loop repeats, and a graph in which they stand once for each further iteration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.graph import Graph, GraphBuilder, GraphNode, is_link, links_of

START: Final = "StartLoop"
END: Final = "EndLoop"


def ancestors(graph: Graph, id: str) -> dict[str, None]:
    """All nodes that a node needs, itself left out."""
    found: dict[str, None] = {}
    waiting = [id]
    while waiting:
        for _, source, _ in links_of(graph[waiting.pop()]):
            if source not in found and source in graph:
                found[source] = None
                waiting.append(source)
    return found


def start_of(graph: Graph, end: str) -> str:
    """The Start Loop that belongs to an End Loop: the nearest above it that no other End Loop has closed.

    Raises:
        BadInput: there is none.
    """
    open_ = _open_starts(graph, end)
    nearest = [id for id in open_ if len(open_) == 1 or not any(id in ancestors(graph, other) for other in open_)]
    if len(nearest) != 1:
        raise BadInput(
            f"{len(nearest)} Start Loop nodes lead to this End Loop.", type="unclear_loop",
            hint="Exactly one must; an inner loop takes the outer iteration_index as parent_iteration.",
        )  # fmt: skip
    return nearest[0]


def _open_starts(graph: Graph, end: str) -> list[str]:
    """Start Loops above an End Loop that are reached on a way on which no other End Loop has taken them."""
    found: dict[str, None] = {}
    seen: set[tuple[str, int]] = set()
    waiting = [(end, 0)]
    while waiting:
        id, closed = waiting.pop()
        for _, source, _ in links_of(graph[id]):
            if source not in graph:
                continue
            kind = graph[source].get("class_type")
            if kind == START and closed == 0:
                found[source] = None
                continue
            state = (source, closed + (kind == END) - (kind == START))
            if state not in seen:
                seen.add(state)
                waiting.append(state)
    return list(found)


def body_of(graph: Graph, start: str, end: str) -> list[str]:
    """The nodes between both ends: those that the end needs and that need the start."""
    above = ancestors(graph, end)
    used_by: dict[str, list[str]] = {}
    for id in above:
        for _, source, _ in links_of(graph[id]):
            used_by.setdefault(source, []).append(id)
    inside: dict[str, None] = {}
    waiting = [start]
    while waiting:
        for id in used_by.get(waiting.pop(), ()):
            if id not in inside:
                inside[id] = None
                waiting.append(id)
    return list(inside)


class Copies:
    """Adds copies of a loop's body to a builder, one for each further iteration."""

    def __init__(self, graph: Graph, start: str, end: str, builder: GraphBuilder) -> None:
        self._graph, self._start, self._builder = graph, start, builder
        self.body = body_of(graph, start, end)
        self._inside = {start, *self.body}

    def add(self, number: int, iteration: GraphNode) -> Callable[[object], object]:
        """Add a copy whose start is ``iteration``; gives what turns links of the original into those of the copy."""
        copies = {id: self._builder.node(str(self._graph[id]["class_type"]), f"{number}.{id}") for id in self.body}
        copies[self._start] = iteration

        def moved(value: object) -> object:
            return copies[str(value[0])].out(int(str(value[1]))) if is_link(value) and value[0] in copies else value

        for id in self.body:
            copies[id].set_override_display_id(id)
            inputs = self._graph[id].get("inputs")
            for name, value in (inputs if isinstance(inputs, dict) else {}).items():
                copies[id].set_input(name, moved(value))
        return moved
