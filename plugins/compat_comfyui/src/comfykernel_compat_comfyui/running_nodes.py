"""Which nodes run in this worker, for code of packs that has no node at hand: progress bars, threads, messages."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from comfykernel_sdk.context import current
from comfykernel_sdk.errors import Interrupted

if TYPE_CHECKING:
    from comfykernel_sdk.context import NodeContext


class InterruptProcessingException(Exception):
    """Raised by code of packs, or for it, when the prompt was cancelled."""


class _Running:
    """Contexts of running nodes by id, the newest last."""

    def __init__(self) -> None:
        self._contexts: dict[str, NodeContext] = {}
        self._last: NodeContext | None = None
        self._lock = threading.Lock()

    def begin(self, context: NodeContext) -> None:
        with self._lock:
            self._contexts[context.node_id] = self._last = context

    def end(self, context: NodeContext) -> None:
        with self._lock:
            if self._contexts.get(context.node_id) is context:
                del self._contexts[context.node_id]

    def of(self, node_id: str | None) -> NodeContext | None:
        with self._lock:
            if node_id is not None and node_id in self._contexts:
                return self._contexts[node_id]
            return next(reversed(self._contexts.values()), None)

    def last(self) -> NodeContext | None:
        return self._last


_running: Final = _Running()
interrupt_wanted: Final = threading.Event()
"""Set by code of packs that wants the running prompt to end."""


@contextmanager
def node_runs() -> Iterator[NodeContext | None]:
    """The node of this thread or task runs."""
    context = current.get()
    if context is None:
        yield None
        return
    _running.begin(context)
    try:
        yield context
    finally:
        _running.end(context)


def context_of(node_id: str | None = None) -> NodeContext | None:
    """The context of a running node: the named one, else the one of this thread or task, else any.

    Threads that a node started know no context of their own: they get the one of the node that began last.
    """
    own = current.get()
    if own is not None and node_id in (None, own.node_id):
        return own
    return _running.of(node_id) or own


def last_context() -> NodeContext | None:
    """The context of the node that began last, though it may have ended."""
    return current.get() or _running.last()


def interrupted(context: NodeContext | None = None) -> bool:
    """Whether the running prompt is to stop."""
    context = context or context_of()
    return interrupt_wanted.is_set() or (context is not None and context.cancelled)


def stop_if_interrupted(context: NodeContext | None = None) -> None:
    """Stop here when the prompt is to stop.

    Raises:
        Interrupted: it is.
    """
    if interrupted(context):
        interrupt_wanted.clear()
        raise Interrupted
