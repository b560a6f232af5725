"""The wish to stop a run, from any thread."""

from __future__ import annotations

import asyncio
from typing import final


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
