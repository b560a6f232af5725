"""What an imported pack gives: its nodes, and its folder of scripts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Final, TypeAlias

from comfykernel_sdk.errors import PluginError

from ..class_nodes.definition import class_definition
from .pack_sources import PackProject, PackSource, read_project

if TYPE_CHECKING:
    from comfykernel_sdk.nodes import NodeDefinition, NodeSpec

Declare: TypeAlias = "Callable[[], NodeSpec]"

log = logging.getLogger(__name__)

MAPPINGS: Final = "NODE_CLASS_MAPPINGS"
DISPLAY_NAMES: Final = "NODE_DISPLAY_NAME_MAPPINGS"
ENTRY_FUNCTION: Final = "comfy_entrypoint"
SCHEMA_METHOD: Final = "define_schema"
"""Nodes written with ``comfy_api`` have it."""


@dataclass(slots=True)
class PackContents:
    """A pack that was imported. ``schema_classes`` came from its entry function, ``classes`` from its mappings."""

    source: PackSource
    module: ModuleType
    project: PackProject
    classes: dict[str, type] = field(default_factory=dict)
    display_names: dict[str, str] = field(default_factory=dict)
    schema_classes: list[type] = field(default_factory=list)

    def nodes(self, known_types: Collection[str]) -> Iterator[tuple[NodeDefinition, Declare]]:
        """The nodes, each with what reads its spec anew; one that can't be read is named in the log and left out."""
        for name, cls in [*self.classes.items(), *((cls.__qualname__, cls) for cls in self.schema_classes)]:
            define = partial(self._define, name, cls, known_types)
            try:
                definition = define()
            except Exception:  # the code of a node pack
                module = self.source.module_name
                log.exception("Node %r of the pack %s is left out: what it declares can't be read.", name, module)
                continue
            yield definition, lambda define=define: define().spec  # type: ignore[misc]

    def _define(self, name: str, cls: type, known_types: Collection[str]) -> NodeDefinition:
        module = f"custom_nodes.{self.source.name}"
        if hasattr(cls, SCHEMA_METHOD):
            from ..schema_nodes import schema_definition

            return schema_definition(cls, python_module=module)
        title = self.display_names.get(name)
        return class_definition(cls, name, display_name=title, python_module=module, known_types=known_types)

    def web_directory(self) -> Path | None:
        """The folder of scripts for the web page, if it is there."""
        folder = self.source.folder
        if folder is None and self.module.__file__:
            folder = Path(self.module.__file__).parent
        for given in (getattr(self.module, "WEB_DIRECTORY", None), self.project.web):
            if given and folder is not None and (found := (folder / str(given)).resolve()).is_dir():
                return found
        return None


def read_contents(source: PackSource, module: ModuleType) -> PackContents:
    """What a module offers.

    Raises:
        PluginError: it offers no nodes in any form that is known.
    """
    contents = PackContents(source, module, read_project(source.folder))
    mappings = getattr(module, MAPPINGS, None)
    if mappings is not None:
        contents.classes = {str(name): cls for name, cls in dict(mappings).items()}
        titles = getattr(module, DISPLAY_NAMES, None)
        contents.display_names = _texts(titles) if isinstance(titles, Mapping) else {}
    elif hasattr(module, ENTRY_FUNCTION):
        from ..schema_nodes import extension_nodes

        contents.schema_classes = extension_nodes(module)
    else:
        raise PluginError(
            f"The module of the pack {source.name} has neither {MAPPINGS} nor {ENTRY_FUNCTION}.",
            hint="It may be no node pack, or hold its packs one level deeper.",
        )
    return contents


def _texts(titles: Mapping[object, object]) -> dict[str, str]:
    return {str(name): str(title) for name, title in titles.items() if title is not None}
