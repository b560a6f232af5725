"""Removes what processes that were killed in the middle of writing a file have left."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .atomic_write import HIDDEN, PART

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger(__name__)

# Seconds after the start, when nobody waits for the server any more.
AFTER_S: Final = 20.0
# A younger file may be one that another machine is writing in a shared folder, where its process is not known here.
YOUNG_S: Final = 60.0
# An older file is no longer written, even if some process has the number of its writer.
OLD_S: Final = 24 * 3600.0


def remove_leftovers_soon(folders: Iterable[Path]) -> None:
    """Remove leftovers below these folders in a while, in a thread of its own."""
    timer = threading.Timer(AFTER_S, remove_leftovers, [[*folders]])
    timer.daemon = True
    timer.start()


def remove_leftovers(folders: Iterable[Path]) -> int:
    """Remove half-written files of dead processes below these folders; returns how many."""
    removed = 0
    for folder in folders:
        for root, _, names in os.walk(folder):
            for name in names:
                if name.startswith(HIDDEN) and name.endswith(PART):
                    removed += _remove_if_left(Path(root, name))
    if removed:
        log.info("%d half-written files of processes that were killed were removed.", removed)
    return removed


def _remove_if_left(path: Path) -> bool:
    with contextlib.suppress(OSError):  # gone meanwhile, or not ours to remove
        age_s = time.time() - path.stat().st_mtime
        if age_s > OLD_S or (age_s > YOUNG_S and not _lives(path.name.removeprefix(HIDDEN).partition("-")[0])):
            path.unlink()
            return True
    return False


def _lives(pid: str) -> bool:
    if not pid.isdecimal():
        return False
    if os.name == "nt":  # asking by a signal would end it
        return True
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return True
