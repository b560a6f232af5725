"""Keeps the last lines of the log for people who look at the server from afar."""

from __future__ import annotations

import asyncio
import datetime
import logging
import shutil
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

KEPT_LINES: Final = 500

Entry = dict[str, str]


class LogLines(logging.Handler):
    """A handler of the root logger. Lines may come from any thread; listeners are called on the event loop."""

    def __init__(self, on_lines: Callable[[dict[str, object]], None]) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        self.entries: deque[Entry] = deque(maxlen=KEPT_LINES)
        self._on_lines = on_lines
        self._loop = asyncio.get_running_loop()
        self._fresh: list[Entry] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line and pass it on."""
        time = datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat()
        entry = {"t": time, "m": self.format(record) + "\n"}
        self.entries.append(entry)
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._collect, entry)

    def described(self, entries: list[Entry]) -> dict[str, object]:
        """Lines with the size of the terminal, as clients expect them."""
        columns, rows = shutil.get_terminal_size()
        return {"entries": entries, "size": {"cols": columns, "rows": rows}}

    def _collect(self, entry: Entry) -> None:
        # Lines of one turn of the loop travel together.
        self._fresh.append(entry)
        if len(self._fresh) == 1:
            self._loop.call_soon(self._tell)

    def _tell(self) -> None:
        fresh, self._fresh = self._fresh, []
        self._on_lines(self.described(fresh))
