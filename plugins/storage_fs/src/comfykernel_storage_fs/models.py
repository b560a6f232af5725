"""Model files by folder and relative name."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from comfykernel_sdk.errors import InvalidPath, NotFound
from comfykernel_sdk.file_names import split_path
from comfykernel_sdk.storage import ModelFile

from .directory_listing import DirectoryListing
from .model_folders import ALL, FOLDER_INDEX, WHOLE_FOLDERS, current_name

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class _Folder:
    """One model folder: its roots, its endings, and the last list of its names."""

    def __init__(self, roots: list[Path], extensions: frozenset[str]) -> None:
        self.listings = [DirectoryListing(root) for root in roots]
        self.extensions = extensions
        self._places: dict[str, int] | None = None

    def add(self, root: Path, *, first: bool) -> None:
        known = next((each for each in self.listings if each.root == root), None)
        if known is not None and not first:
            return
        listing = known or DirectoryListing(root)
        self.listings = [each for each in self.listings if each is not known]
        self.listings.insert(0 if first else len(self.listings), listing)
        self._places = None

    def places(self) -> dict[str, int]:
        """Name -> index of the root that holds it, sorted by name; made anew only when a directory has changed."""
        listed = [listing.names() for listing in self.listings]
        if self._places is None or any(changed for _, changed in listed):
            places: dict[str, int] = {}
            for index, (names, _) in enumerate(listed):
                for name in filter(None, map(self._model, names)):
                    places.setdefault(name, index)
            self._places = dict(sorted(places.items()))
        return self._places

    def _model(self, name: str) -> str:
        """The model that a file is, or is the index of; empty when it is none."""
        if self.extensions == WHOLE_FOLDERS:
            folder, _, last = name.rpartition("/")
            return folder if last == FOLDER_INDEX else ""
        return name if not self.extensions or os.path.splitext(name)[1].lower() in self.extensions else ""

    def holds(self, path: Path) -> bool:
        """Whether a path is that of a model."""
        return (path / FOLDER_INDEX).is_file() if self.extensions == WHOLE_FOLDERS else path.is_file()


class FolderModelStore:
    """Models in directories. See ``ModelStore`` of the sdk for the methods.

    Links are followed: whoever can make one among the models owns them.
    """

    def __init__(self, folders: Mapping[str, tuple[list[Path], frozenset[str]]]) -> None:
        self._folders = {name: _Folder(roots, extensions) for name, (roots, extensions) in folders.items()}
        self._lock = threading.Lock()

    def folders(self) -> list[str]:
        """Names of the folders, in the peer's order, those that were added at the end."""
        return list(self._folders)

    def roots(self, folder: str) -> list[str]:
        """Where the files of a folder are searched, in order."""
        return [str(listing.root) for listing in self._folder(folder).listings]

    def extensions(self, folder: str) -> frozenset[str]:
        """File name endings that count as models there; empty: all."""
        return self._folder(folder).extensions

    def names(self, folder: str) -> list[str]:
        """Names of the files of a folder, sorted."""
        found = self._folder(folder)
        with self._lock:
            return list(found.places())

    def files(self, folder: str) -> list[ModelFile]:
        """The same with sizes and times."""
        found = self._folder(folder)
        with self._lock:
            places = list(found.places().items())
            roots = [listing.root for listing in found.listings]
        files: list[ModelFile] = []
        for name, index in places:
            try:
                stat = os.stat(f"{roots[index]}/{name}")
            except OSError:  # gone since it was listed
                continue
            files.append(ModelFile(name, index, stat.st_size, stat.st_mtime, stat.st_ctime))
        return files

    def path(self, folder: str, name: str) -> Path:
        """Path of a model: in the first root that has it."""
        parts = split_path(name)
        if not parts:
            raise InvalidPath("The model name is empty.")
        found = self._folder(folder)
        for listing in found.listings:
            path = listing.root.joinpath(*parts)
            if found.holds(path):
                return path
        raise NotFound(
            f"There is no model {name!r} in {folder}.",
            type="unknown_model",
            details=f"Searched: {', '.join(self.roots(folder))}.",
        )

    def add_root(self, folder: str, path: Path, *, first: bool = False) -> None:
        """Search this directory too; an unknown folder is created. Old names of folders are understood."""
        with self._lock:
            name = current_name(folder)
            if name not in self._folders:
                self._folders[name] = _Folder([], ALL)
            self._folders[name].add(path.absolute(), first=first)

    def _folder(self, folder: str) -> _Folder:
        if folder not in self._folders:
            raise NotFound(f"There is no model folder {folder!r}.", type="unknown_model_folder")
        return self._folders[folder]
