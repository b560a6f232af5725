"""What is known of the inputs of a node: from the catalog, or for nodes that are not installed, from elsewhere."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

from comfykernel_sdk.nodes import InputSpec

from .problems import Problem, shortened
from .published import published_inputs

if TYPE_CHECKING:
    from comfykernel_sdk.nodes import NodeSpec, Replacement

    from .document import Drawn

NEAR: Final = 0.6
"""Likeness from which on a name is suggested, of 1."""


class Interfaces:
    """Finds the inputs of nodes.

    Args:
        specs: the nodes that are installed.
        replacements: ids that are gone -> what stands in for them.
        lenient: describe nodes that are not installed by what is published of them, or by the file itself.

    Attributes:
        missing: classes that are not installed.
    """

    def __init__(
        self, specs: Mapping[str, NodeSpec], replacements: Mapping[str, Replacement], *, lenient: bool
    ) -> None:
        self.specs = specs
        self.missing: dict[str, None] = {}
        self._replacements = replacements
        self._lenient = lenient

    def inputs_of(self, node: Drawn) -> Sequence[InputSpec] | None:
        """The declared inputs; ``None`` for a class that nobody knows."""
        if (spec := self.specs.get(node.type)) is not None:
            return spec.inputs
        if (replacement := self._replacements.get(node.type)) is not None:
            return _by_name(replacement.widgets or _marked(node))
        self.missing[node.type] = None
        if not self._lenient:
            return None
        known = published_inputs().get(node.type)
        return known if known is not None else _described(node)

    def title_of(self, node: Drawn) -> str:
        """What people call the node."""
        spec = self.specs.get(node.type)
        return node.title or (spec and spec.display_name) or node.type

    def unknown(self, node: Drawn, id: str) -> Problem:
        """That nobody knows the class of a node."""
        near = difflib.get_close_matches(node.type[:200], self._names, n=1, cutoff=NEAR)
        pack = (node.properties or {}).get("cnr_id") or (node.properties or {}).get("aux_id")
        origin = f"It comes from the pack {shortened(pack)}: install it" if pack else "Install the pack that has it"
        return Problem(
            type="unknown_node_type",
            message=f"There is no node class {shortened(node.type)!r}.",
            hint=f"Did you mean {near[0]!r}?" if near else f"{origin}, or mute or bypass the node.",
            node_id=shortened(id),
            class_type=shortened(node.type),
        )

    @cached_property
    def _names(self) -> list[str]:
        return list(self.specs)


def _marked(node: Drawn) -> list[str]:
    return [slot.input_name for slot in node.inputs or () if slot.widget is not None]


def _by_name(names: Sequence[str]) -> list[InputSpec]:
    return [InputSpec(name=name, type="COMBO") for name in names]


def _described(node: Drawn) -> list[InputSpec]:
    """The inputs as the file itself has them: by name where values are named, else those that it marks as widgets."""
    if node.widgets_values_named is not None or isinstance(node.widgets_values, dict):
        values = node.widgets_values_named or node.widgets_values
        return _by_name(list(values) if isinstance(values, dict) else [])
    return [
        InputSpec(name=slot.input_name, type=slot.wire_type) for slot in node.inputs or () if slot.widget is not None
    ]
