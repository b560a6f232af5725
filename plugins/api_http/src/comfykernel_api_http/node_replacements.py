"""What stands in for nodes that are gone, as the web page reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from comfykernel_sdk.nodes import Replacement

if TYPE_CHECKING:
    from comfykernel_sdk.json_types import Json, JsonObject
    from comfykernel_sdk.transport import Kernel


def replacements(kernel: Kernel) -> JsonObject:
    """Lists of replacements by the id that is gone; of a node that is there, none."""
    known = kernel.node_specs()
    found: dict[str, list[Json]] = {}
    for pack in kernel.node_packs():
        for each in msgspec.convert(pack.get("replacements", []), list[Replacement], strict=False):
            if each.old not in known:
                spec = known.get(each.new)
                names = [i.name for i in spec.inputs if i.group != "hidden"] if spec is not None else []
                found.setdefault(each.old, []).append(_entry(each, names))
    return {**found}


def _entry(replacement: Replacement, names: list[str]) -> JsonObject:
    """One replacement; ``names`` are the inputs of the new node."""
    return {
        "new_node_id": replacement.new,
        "old_node_id": replacement.old,
        "old_widget_ids": None if replacement.widgets is None else [*replacement.widgets],
        "input_mapping": _inputs(replacement, names),
        "output_mapping": _outputs(replacement),
    }


def _inputs(replacement: Replacement, names: list[str]) -> Json:
    inputs = replacement.inputs
    if inputs is None and not replacement.values:
        return None
    if inputs is None:
        # The page takes over what is listed and nothing else.
        inputs = {name: name for name in names if name not in replacement.values}
    mapped: list[Json] = [{"new_id": new, "old_id": old} for new, old in inputs.items()]
    return mapped + [{"new_id": new, "set_value": value} for new, value in replacement.values.items()]


def _outputs(replacement: Replacement) -> Json:
    if replacement.outputs is None:
        return None
    return [{"new_idx": new, "old_idx": old} for old, new in replacement.outputs.items()]
