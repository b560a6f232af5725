"""Ids of nodes that are gone: what packs register, as comfykernel knows it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from comfykernel_sdk.nodes import Replacement

from ..class_nodes.shown_values import shown
from ..missing_names import asking_pack

if TYPE_CHECKING:
    from .schema import NodeReplace

loading_pack: ContextVar[str | None] = ContextVar("loading_pack", default=None)
"""Module of the pack whose entry function runs."""
_registered: dict[str | None, list[NodeReplace]] = {}


def register_replacement(replace: NodeReplace) -> None:
    """Keep what a pack registers, under the pack that does."""
    found = _registered.setdefault(loading_pack.get() or asking_pack(), [])
    if replace not in found:
        found.append(replace)


def replacements_of(*names: str) -> list[Replacement]:
    """What the pack with one of these names (its module, its folder) has registered."""
    return [replacement(replace) for name in names for replace in _registered.get(name, ())]


def replacement(replace: NodeReplace) -> Replacement:
    """In the form of the sdk."""
    mapping = replace.input_mapping
    named = {str(entry["new_id"]): str(entry["old_id"]) for entry in mapping or () if entry.get("old_id") is not None}
    fixed = {str(entry["new_id"]): shown(entry["set_value"]) for entry in mapping or () if "set_value" in entry}
    outputs = replace.output_mapping
    return Replacement(
        old=replace.old_node_id,
        new=replace.new_node_id,
        inputs=named if mapping is not None else None,
        values=fixed,
        outputs={int(e["old_idx"]): int(e["new_idx"]) for e in reversed(outputs)} if outputs is not None else None,
        widgets=list(replace.old_widget_ids) if replace.old_widget_ids is not None else None,
    )
