"""Users, their settings and their files in memory."""

from __future__ import annotations

import re
import time
import uuid
from typing import TYPE_CHECKING

from ..errors import BadInput, Conflict, InvalidPath, NotFound
from ..file_names import split_path
from ..storage import FileInfo, FileRef

if TYPE_CHECKING:
    from ..json_types import JsonObject

DEFAULT_USER = "default"


class MemoryUsers:
    """A ``UserStore``."""

    def __init__(self, *, multi_user: bool = False) -> None:
        self._users = {} if multi_user else {DEFAULT_USER: DEFAULT_USER}
        self._settings: dict[str, JsonObject] = {}
        self._files: dict[tuple[str, str], tuple[bytes, float]] = {}

    def users(self) -> dict[str, str]:
        """User id -> name."""
        return dict(self._users)

    def add_user(self, name: str) -> str:
        """Create a user."""
        name = name.strip()
        if not name:
            raise BadInput("The user name is empty.", type="empty_user_name")
        if name in self._users.values():
            raise Conflict("Duplicate username.", type="duplicate_user")
        id = f"{re.sub('[^A-Za-z0-9_-]+', '-', name)}_{uuid.uuid4()}"
        self._users[id] = name
        return id

    def settings(self, user: str) -> JsonObject:
        """All settings of a user."""
        return dict(self._settings.get(self._known(user), {}))

    def save_settings(self, user: str, changes: JsonObject) -> None:
        """Set some settings and keep the others."""
        self._settings[user] = self.settings(user) | changes

    def read(self, user: str, path: str) -> bytes:
        """Content of a user's file."""
        return self._found(user, path)[0]

    def write(self, user: str, path: str, data: bytes | bytearray, *, overwrite: bool = True) -> FileInfo:
        """Write a user's file."""
        name = self._name(user, path)
        if not overwrite and (user, name) in self._files:
            raise Conflict("File already exists.", details=path, type="file_exists")
        self._files[user, name] = (bytes(data), time.time())
        return self._info(user, name, name)

    def move(self, user: str, source: str, destination: str, *, overwrite: bool = True) -> FileInfo:
        """Rename a user's file."""
        kept, new = self._found(user, source), self._name(user, destination)
        if not overwrite and (user, new) in self._files:
            raise Conflict("File already exists.", details=destination, type="file_exists")
        del self._files[user, self._name(user, source)]
        self._files[user, new] = kept
        return self._info(user, new, new)

    def delete(self, user: str, path: str) -> None:
        """Remove a user's file."""
        self._found(user, path)
        del self._files[user, self._name(user, path)]

    def list(self, user: str, folder: str, *, recursive: bool = False) -> list[FileInfo]:
        """Files below a folder, sorted; nothing for a path that is a file."""
        start = "".join(f"{part}/" for part in split_path(folder))
        names = sorted(name for owner, name in self._files if owner == self._known(user) and name.startswith(start))
        if start and not names and (user, start[:-1]) not in self._files:
            raise NotFound("Directory not found.", details=folder, type="unknown_folder")
        below = [(name, name.removeprefix(start)) for name in names]
        return [self._info(user, name, rest) for name, rest in below if recursive or "/" not in rest]

    def _known(self, user: str) -> str:
        if user not in self._users:
            raise NotFound("There is no such user.", details=user, type="unknown_user")
        return user

    def _name(self, user: str, path: str) -> str:
        self._known(user)
        parts = split_path(path)
        if not parts:
            raise InvalidPath("The path is empty.")
        return "/".join(parts)

    def _found(self, user: str, path: str) -> tuple[bytes, float]:
        found = self._files.get((user, self._name(user, path)))
        if found is None:
            raise NotFound("There is no such file.", details=path, type="unknown_file")
        return found

    def _info(self, user: str, name: str, shown: str) -> FileInfo:
        data, modified = self._files[user, name]
        return FileInfo(FileRef(shown), len(data), modified, modified)
