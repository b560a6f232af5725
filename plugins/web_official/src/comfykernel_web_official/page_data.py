"""The lists that the page asks for: scripts, translations, templates of packs, subgraph blueprints."""

from __future__ import annotations

import hashlib
import logging
from functools import cache
from typing import TYPE_CHECKING, Final

import msgspec

from .json_document import JsonDocument
from .pack_folders import PackFolders, files_below
from .published import BLUEPRINTS, folder_of, page_folder
from .user_style import empty_style

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from comfykernel_sdk.json_types import Json, JsonObject
    from comfykernel_sdk.transport import Kernel

PREFIXES: Final = ("", "/api")
LOCALE_PARTS: Final = ("nodeDefs", "commands", "settings")
"""Files of a language that become a member of their own; ``main.json`` holds the members themselves."""

_log = logging.getLogger(__name__)


def add_routes(register: Callable[..., None], kernel: Kernel) -> None:
    """Register the lists, bare and under ``/api``."""
    packs = PackFolders(kernel)
    register("/user.css", empty_style)
    documents: dict[str, Callable[[str], object]] = {
        "/extensions": lambda _: scripts(packs),
        "/i18n": lambda _: translations(packs.beside("locales")),
        "/workflow_templates": lambda _: {
            pack: [path.removesuffix(".json") for path in files_below(folder, "*.json")]
            for pack, folder in packs.templates().items()
        },
        "/global_subgraphs": lambda _: subgraphs(packs),
        "/global_subgraphs/": lambda id: subgraphs(packs).get(id),
    }
    for path, make in documents.items():
        document = JsonDocument(make)
        for prefix in PREFIXES:
            register(prefix + path, document)


def scripts(packs: PackFolders) -> list[str]:
    """Addresses of the scripts that the page loads: those of its own package first."""
    folders = {"core": page_folder() / "extensions" / "core", **packs.scripts()}
    return [f"/extensions/{pack}/{path}" for pack, folder in folders.items() for path in files_below(folder, "**/*.js")]


def translations(folders: dict[str, Path]) -> dict[str, JsonObject]:
    """Translations of all packs by language; where two packs translate the same word, the later pack counts."""
    merged: dict[str, JsonObject] = {}
    for folder in folders.values():
        for language in sorted(path for path in folder.iterdir() if path.is_dir()):
            into = merged.setdefault(language.name, {})
            _merge(into, _read_object(language / "main.json"))
            for part in LOCALE_PARTS:
                if found := _read_object(language / f"{part}.json"):
                    _merge(into, {part: found})
    return merged


def subgraphs(packs: PackFolders) -> JsonObject:
    """Blueprints by an id that stays the same; each with its data, so that the page need not ask for every one."""
    folder = folder_of(*BLUEPRINTS)
    found: JsonObject = {} if folder is None else dict(_blueprints(folder))
    for pack, folder in packs.beside("subgraphs").items():
        for path in sorted(folder.glob("*.json")):
            found[_id(pack, path)] = _blueprint(path, source="custom_node", pack=f"custom_nodes.{pack}")
    return found


@cache
def _blueprints(folder: Path) -> JsonObject:
    """Those of a package: read once."""
    return {
        _id("templates", path): _blueprint(path, source="templates", pack="comfyui")
        for path in sorted(folder.glob("*.json"))
    }


def _blueprint(path: Path, *, source: str, pack: str) -> JsonObject:
    return {"source": source, "name": path.stem, "info": {"node_pack": pack}, "data": path.read_text("utf-8")}


def _id(source: str, path: Path) -> str:
    return hashlib.sha256(f"{source}/{path.name}".encode()).hexdigest()


def _read_object(path: Path) -> JsonObject:
    """A JSON object from a file; an empty one when it is not there or no JSON, which the log says."""
    try:
        found: JsonObject = msgspec.json.decode(path.read_bytes(), type=dict)
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError) as error:
        _log.warning("The translation %s can't be read: %s", path, error)
        return {}
    return found


def _merge(into: JsonObject, more: JsonObject) -> None:
    for key, value in more.items():
        known: Json = into.get(key)
        if isinstance(known, dict) and isinstance(value, dict):
            _merge(known, value)
        else:
            into[key] = value
