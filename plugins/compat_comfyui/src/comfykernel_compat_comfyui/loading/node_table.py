"""The table of all node classes that packs read and write: ``nodes.NODE_CLASS_MAPPINGS``."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from ..class_nodes.wrapped_nodes import wrap_node
from ..shims import folder_paths

if TYPE_CHECKING:
    from comfykernel_sdk.nodes import InputSpec, NodeDefinition

INPUT_SOURCE: Final = "input"


class NodeTable(dict[str, Any]):
    """Class name -> class. Nodes of comfykernel become classes when somebody asks for them."""

    def __init__(self) -> None:
        super().__init__()
        self.offered: set[str] = set()
        """Names of the nodes of comfykernel."""
        self._waiting: dict[str, NodeDefinition] = {}

    def offer(self, definitions: Mapping[str, NodeDefinition]) -> None:
        """Nodes of comfykernel that packs may use."""
        self._waiting.update(definitions)
        self.offered.update(definitions)

    def own(self, name: str) -> Any:
        """The class of a node of comfykernel; raises KeyError."""
        if name in self._waiting:
            self.setdefault(name, _class_of(name, self._waiting.pop(name)))
        return super().__getitem__(name)

    def __missing__(self, name: str) -> Any:
        return self.own(name)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self._waiting

    def __iter__(self) -> Iterator[str]:
        self._make_all()
        return super().__iter__()

    def __len__(self) -> int:
        self._make_all()
        return super().__len__()

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default  # noqa: SIM401 - this is how get is made

    def keys(self) -> Any:
        self._make_all()
        return super().keys()

    def values(self) -> Any:
        self._make_all()
        return super().values()

    def items(self) -> Any:
        self._make_all()
        return super().items()

    def _make_all(self) -> None:
        for name in list(self._waiting):
            self.own(name)


def _class_of(name: str, definition: NodeDefinition) -> type:
    from ..own_nodes import images, sampling

    written = {"SaveImage": images.SaveImage, "PreviewImage": images.PreviewImage, "LoadImage": images.LoadImage}
    if name in written:
        return written[name]
    made = wrap_node(definition, choices_of)
    # These two go through functions that packs patch.
    functions = {"KSampler": sampling.sample, "KSamplerAdvanced": sampling.sample_advanced}
    if name in functions:
        setattr(made, made.FUNCTION, functions[name])
    return made


def choices_of(declared: InputSpec) -> list[Any] | None:
    """The values of an input that is a list, those of its source before its own; ``None`` when it is none."""
    if declared.source is None:
        return None if declared.choices is None else list(declared.choices)
    return [*_source(declared.source, declared.kinds), *(declared.choices or [])]


def _source(name: str, kinds: list[str]) -> list[str]:
    if name != INPUT_SOURCE:
        return folder_paths.get_filename_list(name) if name in folder_paths.folder_names_and_paths else []
    folder = folder_paths.get_input_directory()
    names = [entry.name for entry in os.scandir(folder) if entry.is_file()] if os.path.isdir(folder) else []
    return sorted(n for n in names if not kinds or (mimetypes.guess_type(n)[0] or "").split("/")[0] in kinds)
