"""One thread that owns the writing connection and commits all waiting changes together.

A commit that reaches the disk costs milliseconds whatever it holds. While one is under way new changes wait in a
queue, and the next commit takes all of them: the more is asked, the larger the groups. Each change runs in a savepoint
of its own, so that one that fails takes nothing with it; a caller goes on after the commit that holds its change.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

from comfykernel_sdk.errors import Unavailable

log = logging.getLogger(__name__)

R = TypeVar("R")

Change: TypeAlias = Callable[[sqlite3.Connection], R]

# Changes in one transaction; bounds the memory and the wait of the first in a long queue.
GROUP: Final = 500


class _Waiting:
    """A change and the caller that waits for it."""

    __slots__ = ("change", "error", "future", "loop", "result")

    def __init__(self, change: Change[Any], loop: asyncio.AbstractEventLoop) -> None:
        self.change = change
        self.loop = loop
        self.future: asyncio.Future[Any] = loop.create_future()
        self.result: Any = None
        self.error: Exception | None = None

    def run(self, connection: sqlite3.Connection) -> None:
        """Apply the change, or leave no trace of it."""
        connection.execute("SAVEPOINT change")
        try:
            self.result = self.change(connection)
        except Exception as error:
            if not connection.in_transaction:  # SQLite gave the whole group up: no space, no access
                raise
            self.error = error
            connection.execute("ROLLBACK TO change")
        connection.execute("RELEASE change")

    def tell(self) -> None:
        """Wake the caller, in whose thread the future lives."""
        try:
            self.loop.call_soon_threadsafe(self._resolve)
        except RuntimeError:
            log.debug("A change was written after its event loop had been closed")

    def _resolve(self) -> None:
        if self.future.done():  # the caller was cancelled; its change stands
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class GroupCommit:
    """Runs changes of the database in one thread, many to a commit."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="job-store-writer", daemon=True)
        self._thread.start()

    async def run(self, change: Change[R]) -> R:
        """Apply a change; returns its result when it is on disk.

        Raises:
            Unavailable: the database can't be written (disk full, for example), or the store is closed.
        """
        if self._closed:
            raise Unavailable("The job store is closed.", type="storage_closed")
        waiting = _Waiting(change, asyncio.get_running_loop())
        self._queue.put(waiting)
        result: R = await waiting.future
        return result

    async def close(self) -> None:
        """Write what waits, then close the connection."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)

    def _serve(self) -> None:
        while (first := self._queue.get()) is not None:
            group, last = self._take(first)
            self._commit(group)
            if last:
                break
        self._connection.close()

    def _take(self, first: _Waiting) -> tuple[list[_Waiting], bool]:
        """All that waits, and whether the end of the queue was among it."""
        group = [first]
        while len(group) < GROUP:
            try:
                waiting = self._queue.get_nowait()
            except queue.Empty:
                break
            if waiting is None:
                return group, True
            group.append(waiting)
        return group, False

    def _commit(self, group: list[_Waiting]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for waiting in group:
                waiting.run(self._connection)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            log.error("The job database can't be written: %s. %d changes were refused.", error, len(group))
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            for waiting in group:
                waiting.error = Unavailable(
                    f"The job database can't be written: {error}.",
                    type="storage_unavailable",
                    hint="Is there space on the disk that holds the state folder?",
                )
        for waiting in group:
            waiting.tell()
