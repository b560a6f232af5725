"""Lists of files in directories, and the next free number of a file name."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection


def list_files(directory: str, skipped: Collection[str]) -> tuple[list[str], dict[str, float]]:
    """Files below a directory by relative name (links are followed), and the times of the directories in it.

    A directory that is not there has no files.
    """
    files: list[str] = []
    times: dict[str, float] = {}
    for path, folders, names in os.walk(directory, followlinks=True):
        folders[:] = [name for name in folders if name not in skipped]
        times[path] = os.path.getmtime(path)
        files.extend(os.path.relpath(os.path.join(path, name), directory) for name in names)
    return files, times


def numbered_place(prefix: str, folder: str, width: int, height: int) -> tuple[str, str, int, str, str]:
    """Where the next file of a prefix goes: (directory, name, number, directory relative to ``folder``, prefix).

    Its number is one above the highest of files named ``NAME_NUMBER_...``; the directory is made when it is missing.

    Raises:
        ValueError: the prefix leads out of the folder.
    """
    prefix = _filled_in(prefix, width, height)
    subfolder = os.path.dirname(os.path.normpath(prefix))
    name = os.path.basename(os.path.normpath(prefix))
    full = os.path.join(folder, subfolder)
    root = os.path.abspath(folder)
    if os.path.commonpath((root, os.path.abspath(full))) != root:
        raise ValueError(f"The file name prefix {prefix!r} leads out of the folder {folder}.")
    os.makedirs(full, exist_ok=True)
    pattern = re.compile(rf"{re.escape(name)}_(\d+)", re.IGNORECASE)
    taken = (int(found[1]) for file in os.listdir(full) if (found := pattern.match(file)))
    return full, name, max(taken, default=0) + 1, subfolder, prefix


def _filled_in(prefix: str, width: int, height: int) -> str:
    if "%" not in prefix:
        return prefix
    now = time.localtime()
    values = {
        "width": str(width), "height": str(height), "year": str(now.tm_year), "month": f"{now.tm_mon:02}",
        "day": f"{now.tm_mday:02}", "hour": f"{now.tm_hour:02}", "minute": f"{now.tm_min:02}",
        "second": f"{now.tm_sec:02}",
    }  # fmt: skip
    for name, value in values.items():
        prefix = prefix.replace(f"%{name}%", value)
    return prefix
