"""One thread that owns the writing connection and commits all waiting changes together.

A commit that reaches the disk costs milliseconds whatever it holds. While one is under way new changes wait in a
queue, and the next commit takes all of them: the more is asked, the larger the groups. Callers that were just told
of a commit often come back with the next change at once, so where several are at work a group waits for them for a
small part of the time that a commit takes. A change that may fail halfway runs in a savepoint of its own, so that it
takes nothing else with it. A caller goes on after the commit that holds its change.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

from comfykernel_sdk.errors import Unavailable

log = logging.getLogger(__name__)

R = TypeVar("R")

Change: TypeAlias = Callable[[sqlite3.Connection], R]

# Changes in one transaction; bounds the memory and the wait of the first in a long queue.
GROUP: Final = 500
# How long a group waits for those who were told of the one before: a share of the last commit, and at most so many
# seconds.
GATHER_SHARE: Final = 0.25
GATHER_S: Final = 0.002
# Seconds that a change without hurry waits for another one to be committed with.
LATER_S: Final = 0.02


class _Waiting:
    """A change and the caller that waits for it."""

    __slots__ = ("change", "error", "future", "result", "savepoint")

    def __init__(self, change: Change[Any], future: asyncio.Future[Any], *, savepoint: bool) -> None:
        self.change = change
        self.future = future
        self.savepoint = savepoint
        self.result: Any = None
        self.error: Exception | None = None

    def run(self, connection: sqlite3.Connection) -> None:
        """Apply the change, or leave no trace of it."""
        if self.savepoint:
            connection.execute("SAVEPOINT change")
        written = connection.total_changes
        try:
            self.result = self.change(connection)
        except Exception as error:
            if not connection.in_transaction:  # SQLite gave the whole group up: no space, no access
                raise
            if not self.savepoint and connection.total_changes != written:
                raise sqlite3.DatabaseError(f"half a change was written: {error}") from error
            self.error = error
            if self.savepoint:
                connection.execute("ROLLBACK TO change")
        if self.savepoint:
            connection.execute("RELEASE change")

    def resolve(self) -> None:
        """Wake the caller; called in the thread of its loop."""
        if self.future.done():  # the caller was cancelled; its change stands
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class GroupCommit:
    """Runs changes of the database in one thread, many to a commit. All callers are on one event loop."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._later: list[_Waiting] = []
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="job-store-writer", daemon=True)
        self._thread.start()

    async def run(self, change: Change[R], *, savepoint: bool = True, hurry: bool = True) -> R:
        """Apply a change; returns its result when it is on disk.

        Without ``savepoint`` a change that fails after it has written something takes its group with it. Without
        ``hurry`` it waits a moment for another one, before which it is applied.

        Raises:
            Unavailable: the database can't be written (disk full, for example), or the store is closed.
        """
        if self._closed:
            raise Unavailable("The job store is closed.", type="storage_closed")
        loop = asyncio.get_running_loop()
        waiting = _Waiting(change, loop.create_future(), savepoint=savepoint)
        if not self._later and not hurry:
            loop.call_later(LATER_S, self._hand_over)
        self._later.append(waiting)
        if hurry:
            self._hand_over()
        result: R = await waiting.future
        return result

    async def close(self) -> None:
        """Write what waits, then close the connection."""
        if not self._closed:
            self._closed = True
            self._hand_over()
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join)

    def _hand_over(self) -> None:
        for waiting in self._later:
            self._queue.put(waiting)
        self._later.clear()

    def _serve(self) -> None:
        expected, pause_s = 1, 0.0
        while (first := self._queue.get()) is not None:
            if self._queue.qsize() + 1 < expected:
                time.sleep(pause_s)
            group, last = self._take(first)
            begun = time.perf_counter()
            self._commit(group)
            pause_s = min((time.perf_counter() - begun) * GATHER_SHARE, GATHER_S)
            # Those who are told now, and those who came meanwhile: so many are at work.
            expected = len(group) + self._queue.qsize()
            self._tell(group)
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

    def _tell(self, group: list[_Waiting]) -> None:
        """Wake all callers of a group at once."""

        def resolve_all() -> None:
            for waiting in group:
                waiting.resolve()

        try:
            group[0].future.get_loop().call_soon_threadsafe(resolve_all)
        except RuntimeError:
            log.debug("%d changes were written after the event loop had been closed", len(group))
