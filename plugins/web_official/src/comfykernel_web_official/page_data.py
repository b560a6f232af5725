"""The lists that the page asks for: scripts, translations, templates of packs, subgraph blueprints."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Final

import msgspec

from .blueprint_files import blueprint, blueprint_files, blueprints
from .described import blueprint_operations, file_operations, template_list_operations
from .fixed_file import fixed_files
from .json_document import JsonDocument
from .pack_folders import PackFolders, files_below, versions_below
from .published import page_folder
from .template_files import template_list, template_lists

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
    """Register the lists, bare and under ``/api``; those of templates below ``/templates``."""
    packs = PackFolders(kernel)
    for path, file in fixed_files().items():
        register(path, file, operations=file_operations(path))
    documents = {
        "/extensions": JsonDocument(lambda _: scripts(packs)),
        "/i18n": JsonDocument(
            lambda _: translations(packs.beside("locales")),
            lambda _: versions_below(packs.beside("locales"), "*/*.json"),
        ),
        "/workflow_templates": JsonDocument(
            lambda _: {
                pack: [path.removesuffix(".json") for path in files_below(folder, "*.json")]
                for pack, folder in packs.templates().items()
            }
        ),
        "/global_subgraphs": JsonDocument(
            lambda _: blueprints(packs), lambda _: versions_below(packs.beside("subgraphs"), "*.json")
        ),
        "/global_subgraphs/": JsonDocument(lambda id: blueprint(blueprint_files(packs).get(id))),
    }
    for path, document in documents.items():
        for prefix in PREFIXES:
            described = {"operations": blueprint_operations()} if path.endswith("/") else {}
            register(prefix + path, document, **described)
    for name in template_lists():
        document = JsonDocument(template_list, lambda _: True)
        register(f"/templates/{name}", document, operations=template_list_operations(name))


def scripts(packs: PackFolders) -> list[str]:
    """Addresses of the scripts that the page loads: those of its own package first."""
    return [
        *_scripts_of_the_page(),
        *(f"/extensions/{pack}/{path}" for pack, folder in packs.scripts().items() for path in _scripts_below(folder)),
    ]


@cache
def _scripts_of_the_page() -> list[str]:
    return [f"/extensions/core/{path}" for path in _scripts_below(page_folder() / "extensions" / "core")]


def _scripts_below(folder: Path) -> list[str]:
    return files_below(folder, "**/*.js")


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
