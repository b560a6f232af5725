"""Outputs that somebody in this run may still read; what nobody will read is let go at once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .run_graph import RunGraph, Vertex


class Values:
    """Node id -> outputs, each a list of values, with a count of the readers to come.

    A node counts as a reader of all its sources, lazy ones too, until it has run or can't be wanted any more. Runs
    with flow control keep everything: an expansion may link to any node.
    """

    def __init__(self, graph: RunGraph) -> None:
        self._graph = graph
        self._held: dict[str, list[list[object]]] = {}
        self._readers: Counter[str] = Counter()
        self._enrolled: set[str] = set()
        self._keep_all = any(vertex.node_class.flow_control for vertex in graph.vertices.values())

    def __contains__(self, id: str) -> bool:
        return id in self._held

    def __getitem__(self, id: str) -> list[list[object]]:
        return self._held[id]

    def add_known(self, id: str, outputs: list[list[object]]) -> None:
        """Outputs that the cache knew; call before :meth:`enroll`."""
        self._held[id] = outputs

    def enroll(self, roots: Iterable[str]) -> None:
        """Count the readers in everything that these nodes may need; each root has one reader, its own end."""
        stack, readers = list(roots), self._readers
        readers.update(stack)
        while stack:
            id = stack.pop()
            if id in self._enrolled or id in self._held:
                continue
            vertex = self._graph.vertices.get(id)
            if vertex is None:
                continue
            self._enrolled.add(id)
            for source in vertex.sources:
                readers[source] += 1
                stack.append(source)

    def forget_unread(self) -> None:
        """Let go of known outputs that nobody will read."""
        if not self._keep_all:
            self._held = {id: outputs for id, outputs in self._held.items() if self._readers[id]}

    def has_readers(self, ids: Iterable[str]) -> bool:
        """Whether more than one reader of any of these nodes is left."""
        return self._keep_all or any(self._readers[id] > 1 for id in ids)

    def put(self, id: str, outputs: list[list[object]]) -> None:
        """Outputs of a node that has just run."""
        if self._keep_all or self._readers[id]:
            self._held[id] = outputs

    def finished(self, vertex: Vertex) -> None:
        """A node has run: it reads its sources no more."""
        if not self._keep_all and vertex.id in self._enrolled:
            self._enrolled.discard(vertex.id)
            self.release(vertex.sources)

    def release(self, ids: Iterable[str]) -> None:
        """One reader of each of these nodes is gone; nodes that nobody wants any more release their own sources."""
        stack = list(ids)
        while stack and not self._keep_all:
            id = stack.pop()
            self._readers[id] -= 1
            if self._readers[id] > 0:
                continue
            known = self._held.pop(id, None) is not None
            if not known and id in self._enrolled:
                self._enrolled.discard(id)
                stack.extend(self._graph.vertices[id].sources)
