"""How long to wait before a dead worker is started again."""

from __future__ import annotations

from typing import Final

LONGEST_S: Final = 30.0
"""A worker that always dies is tried twice a minute: often enough after a repair, seldom enough for the log."""
STABLE_S: Final = 60.0
"""A worker that was up for this long is sound: its next death is the first again."""


class Backoff:
    """Doubles the wait at each death in a row."""

    def __init__(self, first_s: float) -> None:
        self._first_s = first_s
        self._deaths = 0

    def reset(self) -> None:
        """The worker has shown that it works."""
        self._deaths = 0

    def after_death(self, *, uptime_s: float) -> float:
        """Seconds to wait after a worker died that was up for ``uptime_s`` seconds."""
        if uptime_s >= STABLE_S:
            self.reset()
        self._deaths += 1
        return float(min(self._first_s * 2.0 ** min(self._deaths - 1, 30), LONGEST_S))
