"""Subgraph blueprints: those of their published package, and those of node packs."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from .published import BLUEPRINTS, folder_of

if TYPE_CHECKING:
    from pathlib import Path

    from comfykernel_sdk.json_types import JsonObject

    from .pack_folders import PackFolders


class BlueprintFile(NamedTuple):
    """A file with a blueprint, and who brings it."""

    path: Path
    source: str
    pack: str


def blueprints(packs: PackFolders) -> JsonObject:
    """All blueprints by id, each with its data, so that the page need not ask for every one."""
    return {id: blueprint(file) for id, file in blueprint_files(packs).items()}


def blueprint(file: BlueprintFile | None) -> JsonObject | None:
    """What the page gets for a file."""
    if file is None:
        return None
    data = file.path.read_text("utf-8")
    return {"source": file.source, "name": file.path.stem, "info": {"node_pack": file.pack}, "data": data}


def blueprint_files(packs: PackFolders) -> dict[str, BlueprintFile]:
    """The files by an id that stays the same."""
    found = dict(_of_the_package())
    for pack, folder in packs.beside("subgraphs").items():
        for path in sorted(folder.glob("*.json")):
            found[_id(pack, path)] = BlueprintFile(path, "custom_node", f"custom_nodes.{pack}")
    return found


@cache
def _of_the_package() -> dict[str, BlueprintFile]:
    folder = folder_of(*BLUEPRINTS)
    paths = [] if folder is None else sorted(folder.glob("*.json"))
    return {_id("templates", path): BlueprintFile(path, "templates", "comfyui") for path in paths}


def _id(source: str, path: Path) -> str:
    return hashlib.sha256(f"{source}/{path.name}".encode()).hexdigest()
