"""Workflows that are no prompts yet: documents of an editor, and files that carry a prompt or a document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, BinaryIO, Protocol

import msgspec

from .graph import Graph

if TYPE_CHECKING:
    from .json_types import Json, JsonObject
    from .nodes import NodeSpec, Replacement


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """A document as a prompt. ``missing``: classes that are not installed, converted by what else is known of them."""

    graph: Graph
    missing: list[str] = []


class WorkflowReader(Protocol):
    """Reads the documents of one editor."""

    def is_document(self, value: Json) -> bool:
        """Whether a value is a document of this editor rather than a prompt."""

    def convert(
        self,
        document: JsonObject,
        specs: Mapping[str, NodeSpec],
        *,
        replacements: Iterable[Replacement] = (),
        seed: int | None = None,
        lenient: bool = False,
    ) -> Conversion:
        """The prompt of a document, which is not changed. May be called in any thread.

        Args:
            document: as read from JSON.
            specs: the installed nodes.
            replacements: what stands in for ids that are gone.
            seed: of choices that the document leaves to chance; ``None``: others each time.
            lenient: take nodes that are not installed by what else is known of them.

        Raises:
            InvalidPrompt: it can't be converted; tells everything that is wrong, by node and field.
        """

    def read_file(self, file: BinaryIO) -> JsonObject | None:
        """What a picture or the like carries: members ``prompt``, ``workflow`` or both; ``None``: not such a file.

        Raises:
            BadInput: it carries neither, or something broken.
        """

    def specs_of(self, object_info: Json) -> dict[str, NodeSpec]:
        """The nodes of another server, from its answer to ``GET /object_info``; raises BadInput."""
