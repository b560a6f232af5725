"""Users, their settings and their files, each below ``user/ID``."""

from __future__ import annotations

import os
import re
import uuid
from typing import TYPE_CHECKING, Final, TypeVar

import filelock
import msgspec

from comfykernel_sdk.errors import BadInput, ComfykernelError, Conflict, InvalidPath, NotFound
from comfykernel_sdk.file_names import check_name, split_path
from comfykernel_sdk.json_types import JsonObject
from comfykernel_sdk.storage import FileInfo, FileRef

from .atomic_write import create_file, make_folder, move_to_free, replace_file
from .confinement import inside
from .directory_listing import files_below

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")

DEFAULT_USER: Final = "default"
SETTINGS_FILE: Final = "comfy.settings.json"
USERS_FILE: Final = "users.json"
LOCK_FILE: Final = "users.lock"

# A settings file is small: whoever waits longer than this (seconds) for the lock has another trouble.
LOCK_SECONDS: Final = 10.0
_ID_LETTERS: Final = 64


class FolderUserStore:
    """Users in folders. See ``UserStore`` of the sdk for the methods.

    With one user that is ``default``; with several they are those of ``users.json``. ``locks`` is a folder for the
    lock that guards the files which are read, changed and written.
    """

    def __init__(self, root: Path, *, multi_user: bool, locks: Path) -> None:
        self._root = root
        self._multi_user = multi_user
        self._locks = locks

    def users(self) -> dict[str, str]:
        """User id -> name."""
        if not self._multi_user:
            return {DEFAULT_USER: DEFAULT_USER}
        return _read_json(self._root / USERS_FILE, dict[str, str], {})

    def add_user(self, name: str) -> str:
        """Create a user. The id is the name with everything but letters, digits, ``-`` and ``_`` made ``-``, and a
        UUID."""
        name = name.strip()
        if not name:
            raise BadInput("The user name is empty.", type="empty_user_name")
        with self._locked():
            users = _read_json(self._root / USERS_FILE, dict[str, str], {})
            if name in users.values():
                raise Conflict("Duplicate username.", type="duplicate_user")
            id = f"{re.sub('[^A-Za-z0-9_-]+', '-', name)[:_ID_LETTERS]}_{uuid.uuid4()}"
            _write_json(self._root / USERS_FILE, users | {id: name})
        return id

    def settings(self, user: str) -> JsonObject:
        """All settings of a user."""
        return _read_json(self._folder(user) / SETTINGS_FILE, JsonObject, {})

    def save_settings(self, user: str, changes: JsonObject) -> None:
        """Set some settings and keep the others."""
        file = self._folder(user) / SETTINGS_FILE
        with self._locked():
            _write_json(file, _read_json(file, JsonObject, {}) | changes)

    def read(self, user: str, path: str) -> bytes:
        """Content of a user's file."""
        return self._existing(user, path).read_bytes()

    def write(self, user: str, path: str, data: bytes | bytearray, *, overwrite: bool = True) -> FileInfo:
        """Write a user's file, folders created."""
        file = self._file(user, path)
        if overwrite:
            replace_file(file, data)
        elif create_file([file], data) is None:
            raise Conflict("File already exists.", details=path, type="file_exists")
        return _info(path, file.stat())

    def move(self, user: str, source: str, destination: str, *, overwrite: bool = True) -> FileInfo:
        """Rename a user's file."""
        old, new = self._existing(user, source), self._file(user, destination)
        if overwrite:
            make_folder(new.parent)
            if new.is_dir():
                raise InvalidPath("A folder has this name.", details=destination)
            os.replace(old, new)
        elif not move_to_free(old, new):
            raise Conflict("File already exists.", details=destination, type="file_exists")
        return _info(destination, new.stat())

    def delete(self, user: str, path: str) -> None:
        """Remove a user's file."""
        self._existing(user, path).unlink(missing_ok=True)

    def list(self, user: str, folder: str, *, recursive: bool = False) -> list[FileInfo]:
        """Files below a folder, sorted; nothing for a path that is a file."""
        root = self._folder(user)
        start = inside(root, split_path(folder))
        if not start.exists():
            raise NotFound("Directory not found.", details=folder, type="unknown_folder")
        found = [
            _info(f"{below}/{name}".lstrip("/"), stat)
            for below, name, stat in files_below(start, within=root.resolve(), recursive=recursive)
        ]
        return sorted(found, key=lambda info: info.ref.filename)

    def _folder(self, user: str) -> Path:
        if user not in self.users():
            raise NotFound("There is no such user.", details=user, type="unknown_user")
        return self._root / check_name(user)

    def _file(self, user: str, path: str) -> Path:
        parts = split_path(path)
        if not parts:
            raise InvalidPath("The path is empty.")
        return inside(self._folder(user), parts)

    def _existing(self, user: str, path: str) -> Path:
        file = self._file(user, path)
        if not file.is_file():
            raise NotFound("There is no such file.", details=path, type="unknown_file")
        return file

    def _locked(self) -> filelock.BaseFileLock:
        make_folder(self._locks)
        return filelock.FileLock(self._locks / LOCK_FILE, timeout=LOCK_SECONDS)


def _info(path: str, stat: os.stat_result) -> FileInfo:
    return FileInfo(FileRef(path), stat.st_size, stat.st_mtime, stat.st_ctime)


def _read_json(file: Path, type: type[T], missing: T) -> T:
    try:
        return msgspec.json.decode(file.read_bytes(), type=type)
    except FileNotFoundError:
        return missing
    except msgspec.DecodeError as error:
        raise ComfykernelError(
            f"The file {file.name} is damaged: {error}.",
            type="damaged_file",
            hint=f"Mend it or move it away: {file}",
        ) from error


def _write_json(file: Path, value: dict[str, str] | JsonObject) -> None:
    replace_file(file, msgspec.json.format(msgspec.json.encode(value), indent=4))
