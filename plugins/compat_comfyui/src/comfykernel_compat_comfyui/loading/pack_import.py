"""Imports one pack under the name ``custom_nodes.NAME``."""

from __future__ import annotations

import importlib
import importlib.util
import runpy
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Final

from comfykernel_sdk.errors import PluginError

from ..missing_names import pack_folders
from .pack_sources import INIT, PackSource

PACKAGE: Final = "custom_nodes"
PRESTARTUP: Final = "prestartup_script.py"


def make_package(folders: Iterable[Path]) -> None:
    """The package that all packs are modules of, so that they may import each other by name."""
    package = ModuleType(PACKAGE, "Node packs.")
    package.__path__ = [str(folder) for folder in folders]
    sys.modules[PACKAGE] = package


def run_prestartup(source: PackSource) -> None:
    """Run what a pack wants to be done before any pack is imported; raises whatever that raises."""
    if source.folder is not None and (script := source.folder / PRESTARTUP).is_file():
        pack_folders[str(source.folder)] = source.name
        runpy.run_path(str(script), run_name=f"{source.module_name}.prestartup_script")


def import_pack(source: PackSource) -> ModuleType:
    """The module of a pack; raises whatever importing it raises.

    Raises:
        PluginError: a folder without ``__init__.py``.
    """
    if source.entry_point is not None:
        return _installed_module(source)
    assert source.path is not None
    pack_folders[str(source.path)] = source.name
    file = source.path / INIT if source.path.is_dir() else source.path
    if not file.is_file():
        raise PluginError(f"The folder {source.path} has no {INIT}.", hint="Is the pack one level deeper?")
    locations = [str(source.path)] if source.path.is_dir() else None
    spec = importlib.util.spec_from_file_location(source.module_name, file, submodule_search_locations=locations)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[source.module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(source.module_name, None)
        raise
    setattr(sys.modules[PACKAGE], source.module_name.partition(".")[2], module)
    return module


def _installed_module(source: PackSource) -> ModuleType:
    assert source.entry_point is not None
    found = source.entry_point.load()
    module = found if isinstance(found, ModuleType) else importlib.import_module(source.entry_point.module)
    if module.__file__:
        place = Path(module.__file__)
        pack_folders[str(place.parent if place.name == INIT else place)] = source.name
    return module
