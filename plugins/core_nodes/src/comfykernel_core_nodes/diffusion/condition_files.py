"""One condition in a safetensors file, so that a run needs no text model.

The tensor `conditioning` is the text model's output [1 or batch, tokens, channels]; other tensors are further entries
under the field's names, a list of them as `NAME.0`, `NAME.1` and so on. Numbers, texts and truth values stand in the
metadata entry `conditioning_options`, a JSON object.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final, cast

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.conditioning import Conditioning, Conditions
from comfykernel_core_nodes.diffusion.errors import CheckpointError, UnsavableCondition
from comfykernel_core_nodes.diffusion.weight_files import open_weights

TOKENS: Final = "conditioning"
OPTIONS: Final = "conditioning_options"

# Members of a condition by the names that files have for them.
MEMBERS: Final = {
    "pooled_output": "pooled",
    "strength": "strength",
    "mask": "mask",
    "mask_strength": "mask_strength",
    "set_area_to_bounds": "mask_bounds",
    "start_percent": "start_percent",
    "end_percent": "end_percent",
    "default": "default",
}
MEMBER_TENSORS: Final = ("pooled", "mask")
# What a file has no form for.
UNSAVED: Final = ("area", "text_range", "hooks", "model", "controls", "attachments")

Plain = bool | int | float | str


def condition_content(conditions: Conditions) -> tuple[dict[str, Tensor], dict[str, Plain]]:
    """The tensors and the plain options of one condition, as a file holds them.

    Raises `UnsavableCondition` for more or less than one, and for an entry that a file has no form for.
    """
    if len(conditions) != 1:
        raise UnsavableCondition(
            f"A file holds one condition; these are {len(conditions)}.", "Save each before they are combined."
        )
    condition = conditions[0]
    for name in UNSAVED:
        if getattr(condition, name):
            raise _unsavable(name, getattr(condition, name))
    usual, entries = Conditioning(condition.tokens), dict(condition.extra)
    for name, member in MEMBERS.items():
        value = getattr(condition, member)
        if value is not getattr(usual, member) and value != getattr(usual, member):
            entries[name] = value
    tensors, options = {TOKENS: condition.tokens}, dict[str, Plain]()
    for name, value in entries.items():
        _put(name, value, tensors, options)
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, options


def _put(name: str, value: object, tensors: dict[str, Tensor], options: dict[str, Plain]) -> None:
    if value is None:
        return
    if isinstance(value, Tensor):
        tensors[name] = value
    elif isinstance(value, list | tuple) and value and all(isinstance(each, Tensor) for each in value):
        tensors.update({f"{name}.{number}": each for number, each in enumerate(value)})
    elif isinstance(value, Plain) and not (isinstance(value, float) and not math.isfinite(value)):
        options[name] = value
    else:
        raise _unsavable(name, value)


def _unsavable(name: str, value: object) -> UnsavableCondition:
    return UnsavableCondition(
        f"A condition with an entry {name!r} ({type(value).__name__}) cannot be saved.",
        "Save it before the node that adds this entry: a file holds tensors, numbers and texts.",
    )


def read_condition(path: Path) -> Conditioning:
    """The condition of a file; raises `CheckpointError`."""
    file = open_weights(path)
    if len(file.shapes.get(TOKENS, ())) != 3:
        found = ", ".join(f"{name} {list(shape)}" for name, shape in sorted(file.shapes.items())[:3]) or "no tensors"
        raise CheckpointError(
            path, f"holds no saved conditioning: expected a tensor {TOKENS!r} of three dimensions, found {found}.",
            "SaveConditioning writes such files; a textual inversion is used in a prompt, as embedding:NAME.",
            type="no_conditioning",
        )  # fmt: skip
    tensors = file.read({name: name for name in file.shapes})
    entries: dict[str, object] = {**_grouped(tensors), **_options(path, file.metadata.get(OPTIONS))}
    tokens = cast(Tensor, entries.pop(TOKENS)).float()
    members = {MEMBERS[name]: entries.pop(name) for name in list(entries) if name in MEMBERS}
    _check_members(path, members)
    return Conditioning(tokens, extra=entries).with_changes(**members)


def _grouped(tensors: Mapping[str, Tensor]) -> dict[str, Tensor | list[Tensor]]:
    """Tensors by name; numbered ones in a list, by their numbers."""
    grouped: dict[str, Tensor | list[Tensor]] = {}
    rows: dict[str, dict[int, Tensor]] = {}
    for name, tensor in tensors.items():
        row, _, number = name.rpartition(".")
        if row and number.isascii() and number.isdigit():
            rows.setdefault(row, {})[int(number)] = tensor
        else:
            grouped[name] = tensor
    return {**grouped, **{name: [row[number] for number in sorted(row)] for name, row in rows.items()}}


def _options(path: Path, text: str | None) -> dict[str, Plain]:
    try:
        options = json.loads(text) if text is not None else {}
    except (ValueError, RecursionError) as error:
        raise CheckpointError(path, f"has a metadata entry {OPTIONS!r} that is no JSON: {error}.") from error
    if not isinstance(options, dict) or not all(isinstance(value, Plain | None) for value in options.values()):
        raise CheckpointError(path, f"has a metadata entry {OPTIONS!r} that is no table of plain values.")
    return {name: value for name, value in options.items() if value is not None}


def _check_members(path: Path, members: dict[str, object]) -> None:
    """Tensors where tensors belong, in float32, and numbers where numbers do."""
    for member, value in members.items():
        if isinstance(value, Tensor) != (member in MEMBER_TENSORS) or isinstance(value, list | str):
            raise CheckpointError(path, f"has {type(value).__name__} for {member!r}, which a conditioning cannot have.")
        if isinstance(value, Tensor):
            members[member] = value.to(torch.float32)
