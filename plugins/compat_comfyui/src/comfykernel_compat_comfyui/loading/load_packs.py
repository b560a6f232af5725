"""Loads all packs: the names that they import, their prestartup scripts, their modules, their nodes."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from comfykernel_sdk.errors import PluginError
from comfykernel_sdk.nodes import NodePack

from ..class_nodes.definition import type_names
from ..missing_names import explain_import
from ..schema_nodes.replacements import replacements_of
from .pack_contents import PackContents, read_contents
from .pack_import import import_pack, make_package, run_prestartup
from .pack_sources import PackSource, chosen, find_sources, read_project

if TYPE_CHECKING:
    from collections.abc import Collection

    from comfykernel_sdk.json_types import JsonObject
    from comfykernel_sdk.nodes import NodeDefinition

    from ..compat_settings import CompatSettings
    from .pack_contents import Declare

log = logging.getLogger(__name__)


class LoadedPack:
    """One pack on its way: imported with its contents, or failed with its traceback."""

    def __init__(self, source: PackSource) -> None:
        self.source = source
        self.contents: PackContents | None = None
        self.nodes: list[tuple[NodeDefinition, Declare]] = []
        self.error = ""
        self.seconds = 0.0

    def fail(self, error: BaseException) -> None:
        """Note why the pack has no nodes."""
        if isinstance(error, ImportError):
            explain_import(error, self.source.name)
        own_frame = error.__traceback__
        below = own_frame.tb_next if own_frame is not None else None
        self.error = "".join(traceback.format_exception(type(error), error, below))
        self.contents = None
        log.error("The node pack %s can't be loaded; the others go on.\n%s", self.source.describe(), self.error)

    def node_pack(self, known_types: Collection[str]) -> NodePack:
        """The pack as comfykernel knows it; without nodes when it failed."""
        begun = time.perf_counter()
        source, contents = self.source, self.contents
        self.nodes = list(contents.nodes(known_types)) if contents is not None else []
        web = contents.web_directory() if contents is not None else None
        self.seconds += time.perf_counter() - begun
        project = read_project(source.folder)
        about: JsonObject = {
            "distribution": source.module_name, "version": project.version, "seconds": self.seconds,
            "error": self.error,
        }  # fmt: skip
        if source.entry_point is not None and source.entry_point.dist is not None:
            about |= {"distribution": source.entry_point.dist.name, "version": source.entry_point.dist.version}
        return NodePack(
            source.name,
            [node for node, _ in self.nodes],
            directory=str(source.folder) if source.folder is not None else None,
            web_directory=str(web) if web else None,
            about=about,
            yields=True,
            replacements=replacements_of(source.module_name, source.name),
        )


def import_packs(
    folders: Iterable[Path], settings: CompatSettings, *, on_import: Callable[[PackContents], None]
) -> list[LoadedPack]:
    """Import every pack that the settings let through; those that fail are among them with their traceback.

    ``on_import`` is told of each pack before the next one is imported.
    """
    folders = list(folders)
    make_package(folders)
    sources = chosen(find_sources(folders), disable_all=settings.disable_all, only=settings.only)
    packs = list(_named_once(sources))
    for step in (_run_prestartup, partial(_import, on_import)):
        for pack in packs:
            if not pack.error:
                begun = time.perf_counter()
                step(pack)
                pack.seconds += time.perf_counter() - begun
    return packs


def known_types(packs: Iterable[LoadedPack]) -> set[str]:
    """Type names of all packs that were imported."""
    names: set[str] = set()
    for pack in packs:
        if pack.contents is not None:
            names |= type_names(pack.contents.classes)
    return names


def _named_once(sources: Iterable[PackSource]) -> Iterator[LoadedPack]:
    taken: dict[str, PackSource] = {}
    for source in sources:
        pack = LoadedPack(source)
        first = taken.setdefault(source.module_name, source)
        if first is not source:
            pack.fail(PluginError(f"The name {source.name} is taken by the pack in {first.describe()}."))
        yield pack


def _run_prestartup(pack: LoadedPack) -> None:
    """A script that fails does not keep its pack from being loaded."""
    try:
        run_prestartup(pack.source)
    except (Exception, SystemExit):  # the code of a node pack
        log.exception("The prestartup script of %s failed.", pack.source.describe())


def _import(on_import: Callable[[PackContents], None], pack: LoadedPack) -> None:
    try:
        pack.contents = read_contents(pack.source, import_pack(pack.source))
        on_import(pack.contents)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the code of a node pack
        pack.fail(error)
