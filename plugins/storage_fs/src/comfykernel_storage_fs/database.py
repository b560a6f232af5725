"""Opening the job database: the lock against a second server, settings of connections, damaged files."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from typing import TYPE_CHECKING, Final, Literal

import filelock

from comfykernel_sdk.errors import PluginError

from .schema import migrate

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

# How long a connection waits for another one, in seconds. Only a tool from outside can make it wait.
BUSY_SECONDS: Final = 10.0
# Larger databases are not read through at the start (about 0.2 s for 64 MiB).
CHECKED_BYTES: Final = 64 * 1024 * 1024


def lock_database(path: Path) -> filelock.BaseFileLock:
    """Take the database for this process until the lock is released or the process ends, however it ends.

    Raises:
        PluginError: another server has it, or its folder can't be written.
    """
    lock = filelock.FileLock(path.with_name(path.name + ".lock"), thread_local=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise PluginError(
            f"The job database {path} is in use by another server.",
            type="database_in_use",
            hint="Stop that server, or give this one another folder (--user-directory or paths.state).",
        ) from None
    except OSError as error:
        raise _unavailable(path, error) from error
    return lock


def connect(path: Path, *, synchronous: Literal["full", "normal"] = "full", writes: bool) -> sqlite3.Connection:
    """A connection without implicit transactions, to be used by one thread at a time."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    if writes:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA foreign_keys = ON")
        # Jobs hold tokens until they end: what is deleted is overwritten.
        connection.execute("PRAGMA secure_delete = ON")
    else:
        connection.execute("PRAGMA query_only = ON")
    return connection


def open_for_writing(path: Path, *, synchronous: Literal["full", "normal"]) -> sqlite3.Connection:
    """Open the database, creating it or bringing its format up to date.

    A damaged database is moved aside (``NAME.damaged-TIME``), an error logged, and a new one begun.

    Raises:
        PluginError: it was written by a newer version, or the disk is full, not writable and so on.
    """
    try:
        return _open_checked(path, synchronous=synchronous)
    except (OSError, sqlite3.OperationalError) as error:  # the data may be sound
        raise _unavailable(path, error) from error
    except sqlite3.DatabaseError as error:
        kept = _move_aside(path)
        log.error(
            "The job database %s is damaged (%s). It was moved to %s; waiting jobs and history in it are not "
            "available. A new database is begun.",
            path,
            error,
            kept,
        )
        return _open_checked(path, synchronous=synchronous)


def _open_checked(path: Path, *, synchronous: Literal["full", "normal"]) -> sqlite3.Connection:
    # Only the owner may read the jobs of everybody with their tokens; SQLite gives its side files the same mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = connect(path, synchronous=synchronous, writes=True)
    try:
        if path.stat().st_size <= CHECKED_BYTES:
            found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
            if found != "ok":
                raise sqlite3.DatabaseError(found)
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _unavailable(path: Path, error: Exception) -> PluginError:
    return PluginError(
        f"The job database {path} can't be opened: {error}.",
        type="database_unavailable",
        hint="paths.state (--user-directory) must be a folder that can be written.",
    )


def _move_aside(path: Path) -> Path:
    kept = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.replace(kept.with_name(kept.name + suffix))
    return kept
