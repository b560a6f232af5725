"""Where the sources of node packs are, told without importing them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from comfykernel_sdk.hooks import NODES_GROUP

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from importlib.metadata import Distribution, EntryPoint

INSTALLATION_SUFFIXES = (".dist-info", ".egg-info", ".pth")
"""What appears in a folder of packages when one is installed there."""


def source_folders(disabled: Iterable[str] = ()) -> set[Path]:
    """The folders of all installed node packs but the disabled ones (names of plugins or distributions).

    Of a pack installed with ``pip install -e`` it is the ``src`` folder of its project, else where its package lies.
    """
    found: set[Path] = set()
    for entry in importlib.metadata.entry_points(group=NODES_GROUP):
        if entry.name not in disabled and not (entry.dist and entry.dist.name in disabled):
            found.update(_folders_of(entry))
    return {folder for folder in found if folder.is_dir()}


def package_folders() -> set[Path]:
    """The folders of this environment in which packages get installed."""
    return {path for path in map(Path, sys.path) if path.is_dir() and next(path.glob("*.dist-info"), None)}


def _folders_of(entry: EntryPoint) -> Iterator[Path]:
    project = _editable_project(entry.dist) if entry.dist else None
    if project is not None:
        yield project / "src" if (project / "src").is_dir() else project
        return
    try:
        # Of the top-level package alone: for a name with dots Python would import the package.
        spec = importlib.util.find_spec(entry.module.partition(".")[0])
    except (ImportError, ValueError):
        return
    if spec is not None and spec.submodule_search_locations:
        yield from map(Path, spec.submodule_search_locations)
    elif spec is not None and spec.origin:
        yield Path(spec.origin).parent


def _editable_project(distribution: Distribution) -> Path | None:
    text = distribution.read_text("direct_url.json")
    origin = json.loads(text) if text else {}
    if not origin.get("dir_info", {}).get("editable"):
        return None
    return Path(unquote(urlparse(origin["url"]).path))
