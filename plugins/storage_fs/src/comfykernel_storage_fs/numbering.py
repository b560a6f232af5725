"""Numbered names: tokens in prefixes and the next counter of a folder."""

from __future__ import annotations

import os
import re
from datetime import datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

BATCH_TOKEN: Final = "%batch_num%"


def fill_tokens(prefix: str, *, width: int, height: int, now: datetime | None = None) -> str:
    """Replace ``%width% %height% %year% %month% %day% %hour% %minute% %second%``; other tokens stay as they are.

    The year has no leading zero, the other times two digits, all in local time.
    """
    if "%" not in prefix:
        return prefix
    time = now or datetime.now()
    values = {"width": str(width), "height": str(height), "year": str(time.year)}
    values |= {name: f"{getattr(time, name):02}" for name in ("month", "day", "hour", "minute", "second")}
    for name, value in values.items():
        prefix = prefix.replace(f"%{name}%", value)
    return prefix


def next_counter(folder: Path, filename: str) -> int:
    """The highest number among the files ``{filename}_{number}_...`` of a folder, plus 1.

    A batch token in ``filename`` stands for any number.
    """
    start, *rest = os.path.normcase(filename).split(BATCH_TOKEN)
    pattern = re.compile("[0-9]+".join(map(re.escape, ("", *rest) if rest else ("",))) + "_([0-9]+)_")
    highest = 0
    for name in map(os.path.normcase, os.listdir(folder)):
        if name.startswith(start) and (match := pattern.match(name, len(start))):
            highest = max(highest, int(match[1]))
    return highest + 1
