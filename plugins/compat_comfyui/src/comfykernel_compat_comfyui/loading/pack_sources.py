"""Where packs are: folders and files in the folders of packs, and installed distributions that name an entry point."""

from __future__ import annotations

import importlib.metadata
import tomllib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ENTRY_POINT_GROUP: Final = "comfyui.custom_nodes"
"""Entry points of pip-installed packs: each names a module."""
OFF_SUFFIX: Final = ".disabled"
SKIPPED: Final = frozenset({"__pycache__"})
INIT: Final = "__init__.py"


@dataclass(frozen=True, slots=True)
class PackSource:
    """One pack that may be loaded.

    Attributes:
        name: the folder's or file's name without ending: part of addresses and of ``python_module``.
        path: the folder or the file; ``None`` for a pack that is installed.
        entry_point: of an installed pack.
    """

    name: str
    path: Path | None = None
    entry_point: importlib.metadata.EntryPoint | None = None

    @property
    def folder(self) -> Path | None:
        """The folder of the pack's own files; ``None`` for a single file."""
        return self.path if self.path is not None and self.path.is_dir() else None

    @property
    def module_name(self) -> str:
        """Name under which the pack is imported; a dot in a folder's name would be read as a package."""
        return f"custom_nodes.{self.name.replace('.', '_x_')}"

    def describe(self) -> str:
        """The place, for people."""
        return str(self.path) if self.path is not None else f"entry point {self.entry_point!r}"


def find_sources(folders: Iterable[Path]) -> Iterator[PackSource]:
    """Every pack in these folders, folder by folder and sorted by name, then those that are installed."""
    for folder in folders:
        for path in sorted(folder.iterdir() if folder.is_dir() else ()):
            if _is_pack(path):
                yield PackSource(path.stem if path.is_file() else path.name, path.resolve())
    for entry in sorted(importlib.metadata.entry_points(group=ENTRY_POINT_GROUP), key=lambda found: found.name):
        yield PackSource(entry.name, entry_point=entry)


def chosen(sources: Iterable[PackSource], *, disable_all: bool, only: Collection[str]) -> list[PackSource]:
    """Those that the settings let through."""
    return [source for source in sources if not disable_all or source.name in only]


def _is_pack(path: Path) -> bool:
    name = path.name
    if name in SKIPPED or name.startswith(".") or name.lower().endswith(OFF_SUFFIX):
        return False
    return path.is_dir() or path.suffix == ".py"


@dataclass(frozen=True, slots=True)
class PackProject:
    """What a pack's ``pyproject.toml`` tells of it; empty where it has none."""

    name: str = ""
    version: str = ""
    web: str = ""
    """Folder of scripts, relative to the pack."""


def read_project(folder: Path | None) -> PackProject:
    """The project of a pack's folder; a file that can't be read tells nothing."""
    if folder is None:
        return PackProject()
    try:
        data = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return PackProject()
    project, tool = data.get("project", {}), data.get("tool", {}).get("comfy", {})
    return PackProject(
        name=str(project.get("name", "")), version=str(project.get("version", "")), web=str(tool.get("web", ""))
    )
