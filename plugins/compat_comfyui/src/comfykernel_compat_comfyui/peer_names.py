"""Lets node packs import the names they know: ``import comfy.utils`` gives the module ``shims.comfy.utils``.

Installed in workers only. A name that is not there says so with the pack that asks for it.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import pkgutil
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Final

from . import shims
from .lacking_names import LACKING, NODE_MODULES, fill, is_synthetic, node_or_missing, synthetic_module
from .missing_names import missing_attribute, missing_module

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SHIMS: Final = shims.__name__


class PeerNameFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers imports of every module and package of :mod:`.shims` by its name there.

    The module in ``sys.modules`` is the shim itself: what a pack patches, everybody sees. Modules of names without
    meaning are made up.
    """

    def __init__(self) -> None:
        self.names = frozenset(found.name for found in pkgutil.iter_modules(shims.__path__)) | {
            name.partition(".")[0] for name in LACKING
        }
        self._specs: dict[str, importlib.machinery.ModuleSpec | None] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The way to a shim.

        Raises:
            ModuleNotFoundError: the name belongs to a package of shims, which lacks it.
        """
        if fullname.partition(".")[0] not in self.names:
            return None
        found = _shim_spec(fullname)
        if found is None and not is_synthetic(fullname):
            raise missing_module(fullname)
        origin = found.origin if found is not None else None
        return importlib.machinery.ModuleSpec(fullname, self, origin=origin)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """The shim, imported under its own name, or a module that is made up."""
        has_file = _shim_spec(spec.name) is not None
        module = importlib.import_module(f"{SHIMS}.{spec.name}") if has_file else synthetic_module(spec.name)
        self._specs[spec.name] = module.__spec__
        fill(module, spec.name)
        if "__getattr__" not in vars(module):
            module.__getattr__ = _lookup(module, spec.name)  # type: ignore[method-assign]
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to run; the import system has put its own spec on the module, a shim has its own."""
        assert module.__spec__ is not None
        module.__spec__ = self._specs[module.__spec__.name] or module.__spec__


def _shim_spec(name: str) -> importlib.machinery.ModuleSpec | None:
    try:
        return importlib.util.find_spec(f"{SHIMS}.{name}")
    except ModuleNotFoundError:
        # A package above it has no file.
        return None


def _lookup(module: ModuleType, name: str) -> Callable[[str], object]:
    """Stands for what a shim lacks: a submodule that nobody imported yet, a node, or nothing."""

    def __getattr__(attribute: str) -> object:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        full = f"{name}.{attribute}"
        if hasattr(module, "__path__") and (_shim_spec(full) is not None or is_synthetic(full)):
            return importlib.import_module(full)
        if name.startswith(NODE_MODULES):
            return node_or_missing(name, attribute)
        raise missing_attribute(name, attribute)

    return __getattr__


_installed: list[PeerNameFinder] = []


def install() -> None:
    """Make the names importable in this process, before every other module of the same name."""
    if not _installed:
        _installed.append(PeerNameFinder())
        sys.meta_path.insert(0, _installed[0])


def uninstall() -> None:
    """Take the names away again, with what was imported under them."""
    while _installed:
        finder = _installed.pop()
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.partition(".")[0] in finder.names]:
            del sys.modules[name]
