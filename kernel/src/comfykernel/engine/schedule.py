"""Which node runs next.

Ready nodes are taken in this order: output nodes and asynchronous ones, then those that feed an output node, then
those that feed one that does, then the others; among equals those whose branch was entered first, so that one branch
is finished before the next is begun and its values can be let go.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .run_graph import RunGraph, Vertex
    from .values import Values

FAR: Final = 3
"""Distance from an output node from which on it does not matter."""


class Schedule:
    """The nodes that still have to run, with the number of sources that each waits for."""

    def __init__(self, graph: RunGraph, values: Values) -> None:
        self._graph = graph
        self._values = values
        self._missing: dict[str, int] = {}
        self._readers: dict[str, list[str]] = {}
        self._order: dict[str, int] = {}
        self._distance: dict[str, int] = {}
        self._ready: list[tuple[int, int, str]] = []
        self._taken: set[str] = set()

    def add(self, id: str, *, distance: int = FAR) -> None:
        """Have a node run, and before it everything that it needs and that is not known.

        Raises:
            GraphError: something that it needs is missing or not installed.
        """
        stack = [(id, distance)]
        while stack:
            id, distance = stack.pop()
            if id in self._missing:
                if distance < self._distance[id]:
                    self._come_nearer(id, distance)
                continue
            vertex = self._graph.vertex(id)
            if vertex.node_class.spec.output_node:
                distance = 0
            self._order.setdefault(id, len(self._order))
            self._distance[id] = distance
            self._missing[id] = 0
            wanted = () if id in self._values else vertex.strong
            stack.extend((source, min(distance + 1, FAR)) for source in reversed(self._wait_for(id, wanted)))
            if not self._missing[id]:
                self._push(vertex)

    def require(self, id: str, sources: Iterable[str]) -> bool:
        """Have a node that was just taken wait for these; tells whether any is missing."""
        waits_for = self._wait_for(id, sources)
        for source in waits_for:
            self.add(source, distance=min(self._distance[id] + 1, FAR))
        return bool(waits_for)

    def again(self, vertex: Vertex) -> None:
        """Put a node back that was just taken and waits for nothing."""
        self._push(vertex)

    def next(self) -> Vertex | None:
        """Take a ready node; ``None`` when no node is ready."""
        while self._ready:
            id = heappop(self._ready)[2]
            if id not in self._taken:
                self._taken.add(id)
                return self._graph.vertices[id]
        return None

    def finish(self, id: str) -> None:
        """A node has run; those that waited only for it are ready."""
        del self._missing[id]
        for reader in self._readers.pop(id, ()):
            self._missing[reader] -= 1
            if not self._missing[reader]:
                self._push(self._graph.vertices[reader])

    def cycle(self) -> list[str]:
        """Ids of nodes that wait for each other; call when nothing is ready and nothing runs. Empty: all has run."""
        waits_for = {reader: id for id, readers in self._readers.items() for reader in readers}
        id = next(iter(self._missing), None)
        path: dict[str, None] = {}
        while id is not None and id not in path:
            path[id] = None
            id = waits_for.get(id)
        ids = list(path)
        return ids[ids.index(id) :] if id is not None else ids

    def _wait_for(self, id: str, sources: Iterable[str]) -> list[str]:
        missing = [source for source in sources if source not in self._values]
        self._missing[id] += len(missing)
        for source in missing:
            self._readers.setdefault(source, []).append(id)
        return missing

    def _come_nearer(self, id: str, distance: int) -> None:
        """A node is nearer to an output than it seemed; in the queue it then stands twice, the first place counts."""
        self._distance[id] = distance
        if not self._missing[id] and id not in self._taken:
            self._push(self._graph.vertices[id])

    def _push(self, vertex: Vertex) -> None:
        self._taken.discard(vertex.id)
        rank = 0 if vertex.node_class.definition.is_async else self._distance[vertex.id]
        heappush(self._ready, (rank, self._order[vertex.id], vertex.id))
