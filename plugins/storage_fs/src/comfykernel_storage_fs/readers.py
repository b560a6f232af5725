"""Reading connections, a few threads of them, so that no query holds up the event loop or the writer."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

from comfykernel_sdk.errors import Unavailable

from .database import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

R = TypeVar("R")

# Queries at a time. One long listing of the history leaves the other free for short ones.
READERS: Final = 2


class Readers:
    """Runs queries in threads, each on a connection that can't write."""

    def __init__(self, path: Path) -> None:
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="job-store-reader")
        self._idle: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        for _ in range(READERS):
            self._idle.put(connect(path, writes=False))
        self._closed = False

    async def run(self, query: Callable[[sqlite3.Connection], R]) -> R:
        """The result of a query; it sees every change that was acknowledged before.

        Raises:
            Unavailable: the database can't be read, or the store is closed.
        """
        if self._closed:
            raise Unavailable("The job store is closed.", type="storage_closed")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._query, query)

    async def close(self) -> None:
        """Wait for the queries under way and close the connections."""
        if not self._closed:
            self._closed = True
            await asyncio.to_thread(self._pool.shutdown)
            for _ in range(READERS):
                self._idle.get().close()

    def _query(self, query: Callable[[sqlite3.Connection], R]) -> R:
        with self._connection() as connection:
            try:
                return query(connection)
            except sqlite3.Error as error:
                raise Unavailable(f"The job database can't be read: {error}.", type="storage_unavailable") from error

    @contextlib.contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        connection = self._idle.get()
        try:
            yield connection
        finally:
            self._idle.put(connection)
