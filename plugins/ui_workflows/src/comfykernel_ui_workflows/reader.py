"""The reader of the web editor's documents, as the sdk's protocol has it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING, BinaryIO

from comfykernel_sdk.workflows import Conversion

from .carriers import read_carried
from .conversion import convert_document
from .document import is_editor_document
from .interfaces import Interfaces
from .object_info import specs_of

if TYPE_CHECKING:
    from comfykernel_sdk.json_types import Json, JsonObject
    from comfykernel_sdk.nodes import NodeSpec, Replacement


class EditorReader:
    """Implements :class:`comfykernel_sdk.workflows.WorkflowReader`."""

    def is_document(self, value: Json) -> bool:
        """Whether a value is a document of the editor."""
        return is_editor_document(value)

    def convert(
        self,
        document: JsonObject,
        specs: Mapping[str, NodeSpec],
        *,
        replacements: Iterable[Replacement] = (),
        seed: int | None = None,
        lenient: bool = False,
    ) -> Conversion:
        """The prompt of a document; see the sdk."""
        interfaces = Interfaces(specs, {each.old: each for each in replacements}, lenient=lenient)
        # The choices are a matter of taste, not of secrecy.
        graph = convert_document(document, interfaces, random=Random(seed), now=datetime.now())
        return Conversion(graph=graph, missing=list(interfaces.missing))

    def read_file(self, file: BinaryIO) -> JsonObject | None:
        """What a picture or the like carries; see the sdk."""
        return read_carried(file)

    def specs_of(self, object_info: Json) -> dict[str, NodeSpec]:
        """The nodes of another server."""
        return specs_of(object_info)
