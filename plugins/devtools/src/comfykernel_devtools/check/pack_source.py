"""From what the user typed to a pack: its entry points and where its files are, without importing it."""

from __future__ import annotations

import difflib
import importlib.metadata
import importlib.util
import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

import msgspec

from comfykernel_sdk.errors import BadInput, NotFound
from comfykernel_sdk.hooks import NODES_GROUP

if TYPE_CHECKING:
    from importlib.metadata import Distribution

    from comfykernel_sdk.json_types import JsonObject


class PackSource(msgspec.Struct, frozen=True, kw_only=True):
    """A pack before it is imported.

    ``entries``: name and ``module:attribute`` of its entry points; ``project``: the folder with ``pyproject.toml``,
    ``None`` for one that was installed from a wheel; ``search``: what to put on the module path; ``metadata``: the
    ``project`` table of ``pyproject.toml``; ``requirements``: names of the distributions that it asks for.
    """

    distribution: str
    version: str
    entries: dict[str, str]
    project: Path | None = None
    search: list[str] = []
    metadata: JsonObject | None = None
    requirements: list[str] = []

    @property
    def packages(self) -> list[str]:
        """Names of the top-level packages that hold the plugins."""
        return sorted({value.partition(":")[0].partition(".")[0] for value in self.entries.values()})


def find_pack(name: str) -> PackSource:
    """The pack in a folder, or the installed one with this name (of the distribution, the plugin or the package).

    Raises:
        NotFound: there is none; suggests the near one.
        BadInput: the folder holds no pack.
    """
    folder = Path(name)
    if folder.is_dir() and (
        "/" in name or "\\" in name or name.startswith(".") or (folder / "pyproject.toml").is_file()
    ):
        return _pack_in_folder(folder.resolve())
    known: dict[str, Distribution] = {}
    for entry in importlib.metadata.entry_points(group=NODES_GROUP):
        if entry.dist is not None:
            known |= dict.fromkeys((entry.name, entry.module.partition(".")[0]), entry.dist)
            known[normalized(entry.dist.name)] = entry.dist
    found = known.get(name) or known.get(normalized(name))
    if found is not None:
        return _installed_pack(found)
    if folder.is_dir():
        return _pack_in_folder(folder.resolve())
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else "Name an installed distribution or the folder of a project."
    raise NotFound(f"There is no node pack {name!r}.", hint=hint, type="unknown_pack")


def normalized(name: str) -> str:
    """The one form of a distribution's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _pack_in_folder(folder: Path) -> PackSource:
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
    except FileNotFoundError:
        raise BadInput(
            f"{folder} is no project of a pack: it has no pyproject.toml.", hint=_peer_hint(folder)
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"{folder / 'pyproject.toml'} can't be read: {error}.") from error
    entries = project.get("entry-points", {}).get(NODES_GROUP, {})
    if not entries:
        installed = next((d for d in importlib.metadata.distributions() if editable_project(d) == folder), None)
        if installed is not None and _entries(installed):
            return _installed_pack(installed)
        raise BadInput(
            f"{folder / 'pyproject.toml'} names no plugin.",
            details=f'It has no table [project.entry-points."{NODES_GROUP}"].',
            hint='Add it with a line such as: my_pack = "my_pack.plugin"',
            type="no_entry_point",
        )
    source = folder / "src"
    return PackSource(
        distribution=str(project.get("name", folder.name)),
        version=str(project.get("version", "")),
        entries={str(name): str(value) for name, value in entries.items()},
        project=folder,
        search=[str(source if source.is_dir() else folder)],
        metadata=project,
        requirements=[_requirement(text) for text in project.get("dependencies", [])],
    )


def _installed_pack(distribution: Distribution) -> PackSource:
    project = editable_project(distribution)
    if project is not None and (project / "pyproject.toml").is_file():
        table = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
    else:
        project, table = None, None
    required = [text for text in distribution.requires or [] if "extra ==" not in text]
    return PackSource(
        distribution=distribution.name,
        version=distribution.version,
        entries=_entries(distribution),
        project=project,
        metadata=table,
        requirements=[_requirement(text) for text in required],
    )


def _entries(distribution: Distribution) -> dict[str, str]:
    return {entry.name: entry.value for entry in distribution.entry_points if entry.group == NODES_GROUP}


def editable_project(distribution: Distribution) -> Path | None:
    """The folder of a distribution that was installed with ``pip install -e``."""
    text = distribution.read_text("direct_url.json")
    origin = json.loads(text) if text else {}
    if not origin.get("dir_info", {}).get("editable"):
        return None
    return Path(unquote(urlparse(origin["url"]).path))


def _requirement(text: object) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", str(text))
    return normalized(match[0]) if match else ""


def _peer_hint(folder: Path) -> str:
    init = folder / "__init__.py"
    text = init.read_text(encoding="utf-8", errors="replace") if init.is_file() else ""
    if "NODE_CLASS_MAPPINGS" in text or "comfy_entrypoint" in text:
        return "It is a pack of ComfyUI: put it into custom_nodes/ of the base directory as it is."
    return "Start a pack with: comfykernel new nodes NAME"
