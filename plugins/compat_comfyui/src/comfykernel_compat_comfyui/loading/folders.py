"""Fills the folders that packs know, and tells which model folders packs have added."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..shims import folder_paths

if TYPE_CHECKING:
    from comfykernel_sdk.json_types import JsonObject
    from comfykernel_sdk.settings import Settings
    from comfykernel_sdk.storage import FileKind, Storage

PACKS: Final = "custom_nodes"
KINDS: Final[tuple[FileKind, ...]] = ("output", "temp", "input")


def use_folders(settings: Settings, storage: Storage | None) -> list[Path]:
    """Set the names of ``folder_paths``; returns the folders of packs.

    Without a storage only the folders that the settings name are known.
    """
    base = Path(settings.paths.base).absolute()
    folder_paths.base_path = str(base)
    # Packs look for the folder of the program beside this file.
    folder_paths.__file__ = str(base / "folder_paths.py")
    folder_paths.models_dir = str(settings.paths.folder("models").absolute())
    folder_paths.user_directory = str(settings.paths.folder("user").absolute())
    for kind in KINDS:
        setattr(folder_paths, f"{kind}_directory", str(settings.paths.folder(kind).absolute()))
    known = folder_paths.folder_names_and_paths
    known.clear()
    if storage is not None:
        models = storage.models
        known |= {name: (models.roots(name), set(models.extensions(name))) for name in models.folders()}
    known.setdefault(PACKS, ([str(base / PACKS)], set()))
    return [Path(place) for place in known[PACKS][0]]


def make_folders() -> None:
    """Make the folders that packs count on: they list them when they declare their inputs."""
    folders = (*(getattr(folder_paths, f"{kind}_directory") for kind in KINDS), folder_paths.models_dir)
    for folder in folders:
        Path(folder).mkdir(parents=True, exist_ok=True)


def added_folders(storage: Storage | None) -> JsonObject:
    """Folder name -> places that packs have added, and that the storage does not know."""
    if storage is None:
        return {}
    known = {name: set(storage.models.roots(name)) for name in storage.models.folders()}
    added: JsonObject = {}
    for name, (places, _) in folder_paths.folder_names_and_paths.items():
        new = [place for place in places if str(Path(place).absolute()) not in known.get(name, ())]
        if new:
            added[str(name)] = [str(Path(place).absolute()) for place in new]
    return added
