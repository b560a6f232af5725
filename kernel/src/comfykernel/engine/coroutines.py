"""Coroutines of nodes that run while other nodes do, and the wish to stop them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, final

from .run_graph import GraphError

if TYPE_CHECKING:
    from .run_graph import Vertex

CANCEL_WAIT_S: Final = 5.0
"""How long coroutines of nodes may take to end when their prompt has failed or was cancelled."""


@final
class Cancellation:
    """A flag that wakes the run when it waits for asynchronous nodes; without a loop nobody waits."""

    __slots__ = ("_loop", "requested", "wake")

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.requested = False
        self.wake = asyncio.Event()
        """Set when a node has ended or the run is to stop."""
        self._loop = loop

    def request(self) -> None:
        """Ask for the end; may be called from any thread."""
        self.requested = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.wake.set)


class AsyncCalls:
    """The calls of one node of which at least one is a coroutine that runs."""

    __slots__ = ("inputs", "results", "tasks", "vertex")

    def __init__(self, vertex: Vertex, inputs: dict[str, list[object]], results: list[object]) -> None:
        self.vertex = vertex
        self.inputs = inputs
        self.results = results
        self.tasks = [result for result in results if isinstance(result, asyncio.Task)]

    def finished(self) -> list[object]:
        """What the calls returned; raises what the first one raised that failed."""
        for task in self.tasks:
            if task.cancelled():
                raise GraphError("The coroutine of a node was cancelled from within.", type="coroutine_cancelled")
            if task.done() and (error := task.exception()) is not None:
                raise error
        return [result.result() if isinstance(result, asyncio.Task) else result for result in self.results]


class Coroutines:
    """What is under way; ``wake`` is set when something has ended."""

    def __init__(self, wake: asyncio.Event) -> None:
        self._wake = wake
        self._running: set[AsyncCalls] = set()
        self._ended: deque[AsyncCalls] = deque()

    def __bool__(self) -> bool:
        return bool(self._running)

    def watch(self, vertex: Vertex, inputs: dict[str, list[object]], results: list[object]) -> bool:
        """Wait in the background for the coroutines among the results; tells whether there are any."""
        if not any(isinstance(result, asyncio.Task) for result in results):
            return False
        calls = AsyncCalls(vertex, inputs, results)
        left = len(calls.tasks)

        def ended(task: asyncio.Task[object]) -> None:
            nonlocal left
            left -= 1
            if not left or task.cancelled() or task.exception() is not None:
                self._ended.append(calls)
                self._wake.set()

        self._running.add(calls)
        for task in calls.tasks:
            task.add_done_callback(ended)
        return True

    def next_ended(self) -> AsyncCalls | None:
        """Calls that have all returned, or of which one has failed."""
        while self._ended:
            calls = self._ended.popleft()
            if calls in self._running:
                self._running.discard(calls)
                return calls
        return None

    def any_vertex(self) -> Vertex | None:
        """A node that runs."""
        return next((calls.vertex for calls in self._running), None)

    async def stop(self) -> None:
        """Cancel what runs and wait for its end, for a while."""
        tasks = [task for calls in self._running for task in calls.tasks if not task.done()]
        self._running.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CANCEL_WAIT_S)
