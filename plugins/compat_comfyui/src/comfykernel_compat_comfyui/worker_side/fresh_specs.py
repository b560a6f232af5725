"""Specs of nodes as their classes declare them now: lists of files change while the worker runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfykernel_sdk.nodes import NodeSpec

log = logging.getLogger(__name__)


class FreshSpecs:
    """The nodes of all packs with the spec that was told last."""

    def __init__(self) -> None:
        self._nodes: dict[str, tuple[NodeSpec, Callable[[], NodeSpec]]] = {}
        self._lock = threading.Lock()

    def add(self, spec: NodeSpec, declare: Callable[[], NodeSpec]) -> None:
        """A node, and how its spec is made anew; the first node of a name counts."""
        self._nodes.setdefault(spec.id, (spec, declare))

    def changed(self, ids: Collection[str] | None) -> dict[str, NodeSpec]:
        """The specs that are no longer what was told, of these nodes or of all. Calls code of packs: may take long."""
        changed: dict[str, NodeSpec] = {}
        with self._lock:
            for id in list(self._nodes) if ids is None else [id for id in ids if id in self._nodes]:
                told, declare = self._nodes[id]
                try:
                    now = declare()
                except Exception:  # the code of a node pack
                    log.exception(
                        "What node %r declares can't be read any more; clients see what it declared last.", id
                    )
                    continue
                if now != told:
                    self._nodes[id] = (now, declare)
                    changed[id] = now
        return changed
