"""Whose a stored file is, where callers are bound to users.

Input, output and temporary files of all users lie in the same folders. What a user has uploaded, and what a user's
jobs have shown, is that user's: others are told that there is no such file. Files that nobody is known to own (those
that lay there before, those that nodes write without showing them) are everybody's.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import sqlite3
import sys
import threading
import unicodedata
from typing import TYPE_CHECKING, Final, TypeAlias

from comfykernel_sdk.errors import ComfykernelError
from comfykernel_sdk.storage import FILE_KINDS, FileRef

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from comfykernel_sdk.graph import Graph
    from comfykernel_sdk.json_types import Json
    from comfykernel_sdk.storage import FileKind

Place: TypeAlias = tuple[str, str]
"""Kind and path of a file."""

OWNERS_FILE: Final = "http_file_owners.sqlite"

LONGEST_NAME: Final = 1_000
"""Characters of a text in a prompt that may be the name of a file."""

ONE_NAME_FOR_MANY: Final = sys.platform in ("win32", "darwin")
"""Whether file systems here take names that differ in case or form for the same."""


class FileOwners:
    """Owners by file, in a database of the state folder. Methods that read or write it are called in threads."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / OWNERS_FILE
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        # What was noted, and what of it is being written; held for a moment only, never while the disk is waited for.
        self._notes_lock = threading.Lock()
        self._noted: dict[Place, set[str]] = {}
        self._leaving: dict[Place, set[str]] = {}

    def note(self, refs: list[FileRef], user: str) -> None:
        """Know from now on whose files these are; :meth:`write` keeps it. May be called on the event loop."""
        with self._notes_lock:
            for ref in refs:
                self._noted.setdefault(_place(ref), set()).add(user)

    def write(self) -> None:
        """Keep what was noted."""
        while self._noted:
            with self._opened() as connection:
                with self._notes_lock:
                    self._leaving, self._noted = self._noted, {}
                rows = [(*place, user) for place, users in self._leaving.items() for user in users]
                connection.executemany("INSERT OR IGNORE INTO owners VALUES (?, ?, ?)", rows)
                connection.commit()
                self._leaving = {}

    def may_use(self, ref: FileRef, user: str | None) -> bool:
        """Whether a file is a caller's, or nobody's; ``user`` is none for callers who see all."""
        if user is None:
            return True
        owners = self._owners(_place(ref))
        return not owners or user in owners

    def of_others(self, kind: FileKind, user: str) -> frozenset[str]:
        """Paths of the files of a kind that belong to others only."""
        with self._opened() as connection:
            rows = connection.execute("SELECT path, user FROM owners WHERE kind = ?", (kind,)).fetchall()
        rows += [(path, owner) for (found, path), owner in self._fresh() if found == kind]
        own = {path for path, owner in rows if owner == user}
        return frozenset(path for path, _ in rows) - own

    def foreign_file(self, graph: Graph, user: str) -> tuple[str, str] | None:
        """Node and input of a prompt that name another user's file; nothing when there is none."""
        for node_id, node in graph.items():
            inputs = node.get("inputs")
            for name, value in inputs.items() if isinstance(inputs, dict) else ():
                if any(self._is_foreign(text, user) for text in _texts(value)):
                    return node_id, name
        return None

    def close(self) -> None:
        """Keep what was noted and let go of the file."""
        self.write()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _is_foreign(self, text: str, user: str) -> bool:
        """Whether a text names another's file: of the kind that it ends in, else of the first kind that has it."""
        kinds = [kind for kind in FILE_KINDS if text.endswith(f"[{kind}]")]
        name = text[: -len(kinds[0]) - 2].strip() if kinds else text
        for kind in kinds or FILE_KINDS:
            if owners := self._owners(_place(FileRef(name, "", kind))):
                return user not in owners
        return False

    def _owners(self, place: Place) -> set[str]:
        fresh = {owner for found, owner in self._fresh() if found == place}
        with self._opened() as connection:
            rows = connection.execute("SELECT user FROM owners WHERE kind = ? AND path = ?", place).fetchall()
        return fresh | {row[0] for row in rows}

    def _fresh(self) -> list[tuple[Place, str]]:
        """What is not in the file yet."""
        with self._notes_lock:
            return [(place, user) for notes in (self._noted, self._leaving) for place in notes for user in notes[place]]

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock:
                if self._connection is None:
                    self._connection = _open(self._path)
                with self._connection:
                    yield self._connection
        except sqlite3.Error as error:
            raise ComfykernelError(
                f"The file of owners can't be used: {error}.",
                type="damaged_file",
                hint=f"Mend it, or remove it: then every file is everybody's. {self._path}",
            ) from error


def shown_files(output: Json) -> list[FileRef]:
    """The files that a node shows."""
    items = output.values() if isinstance(output, dict) else ()
    found: list[FileRef] = []
    for each in (item for listed in items if isinstance(listed, list) for item in listed if isinstance(item, dict)):
        name, folder, kind = each.get("filename"), each.get("subfolder") or "", each.get("type") or "output"
        if isinstance(name, str) and isinstance(folder, str) and kind in FILE_KINDS:
            found.append(FileRef(name, folder, kind))
    return found


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS owners (kind TEXT, path TEXT, user TEXT, PRIMARY KEY (kind, path, user))"
        " WITHOUT ROWID"
    )
    # Temporary files are removed when a server starts.
    connection.execute("DELETE FROM owners WHERE kind = 'temp'")
    connection.commit()
    return connection


def _place(ref: FileRef) -> Place:
    path = posixpath.normpath(f"{ref.subfolder}/{ref.filename}".replace("\\", "/")).lstrip("/")
    if ONE_NAME_FOR_MANY:
        path = unicodedata.normalize("NFC", path).casefold()
    return ref.type, path


def _texts(value: Json) -> Iterator[str]:
    """All texts of an input that may be names of files."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            if 0 < len(each) <= LONGEST_NAME:
                yield each
        elif isinstance(each, (list, dict)):
            waiting.extend(each.values() if isinstance(each, dict) else each)
