"""Conditions as packs know them, ``[[tokens, {...}], ...]``, and as the library does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from torch import Tensor

from .control_face import AppliedControls, ControlNet, chained
from .library import Area, Conditioning

RELATIVE: Final = "percentage"
"""First entry of an area in parts of the picture."""
PLAIN: Final = {
    "pooled": "pooled_output", "mask": "mask", "mask_strength": "mask_strength", "strength": "strength",
    "start_percent": "start_percent", "end_percent": "end_percent", "text_range": "text_range", "default": "default",
    "hooks": "hooks", "attachments": "attachments",
}  # fmt: skip
"""Fields that are entries under another name and nothing else."""
CONTROL, BOUNDS, AREA, UNCOND = "control", "set_area_to_bounds", "area", "control_apply_to_uncond"
_DEFAULTS: Final = Conditioning(tokens=None)  # type: ignore[arg-type]


def to_pair(condition: object) -> list[Any]:
    """A condition as packs know it."""
    assert isinstance(condition, Conditioning)
    entries: dict[str, Any] = dict(condition.extra)
    for field, name in PLAIN.items():
        value = getattr(condition, field)
        if value is not getattr(_DEFAULTS, field) and (field != "strength" or value != 1.0):
            entries[name] = value
    if condition.area is not None:
        area = condition.area
        place = (area.height, area.width, area.y, area.x)
        entries[AREA] = (RELATIVE, *place) if area.relative else tuple(int(side) for side in place)
        entries["strength"] = condition.strength
    if condition.mask is not None:
        entries[BOUNDS] = condition.mask_bounds
        entries["mask_strength"] = condition.mask_strength
    if condition.controls:
        entries[CONTROL] = AppliedControls(condition.controls)
        entries[UNCOND] = any(control.both_sides for control in condition.controls)
    return [condition.tokens, entries]


def from_pair(pair: Sequence[Any]) -> Conditioning:
    """A condition as the library knows it; entries that it has no field for stay with it by name."""
    tokens, entries = pair[0], dict(pair[1])
    fields: dict[str, Any] = {field: entries.pop(name) for field, name in PLAIN.items() if name in entries}
    area = entries.pop(AREA, None)
    if area is not None:
        relative = area[0] == RELATIVE
        height, width, y, x = area[1:] if relative else area
        fields["area"] = Area(height, width, y, x, relative=relative)
    fields["mask_bounds"] = bool(entries.pop(BOUNDS, False))
    control = entries.get(CONTROL)
    if isinstance(control, (AppliedControls, ControlNet)):
        del entries[CONTROL]
        fields["controls"] = tuple(chained(control, both_sides=bool(entries.pop(UNCOND, False))))
    return Conditioning(tokens=tokens, extra=entries, **fields)


def are_pairs(values: list[Any]) -> bool:
    """Whether a list holds conditions of packs."""
    return bool(values) and all(
        isinstance(value, (list, tuple))
        and len(value) == 2
        and isinstance(value[1], dict)
        and isinstance(value[0], Tensor)
        for value in values
    )


def from_pairs(values: object) -> list[Conditioning]:
    """Conditions as the library knows them."""
    assert isinstance(values, list)
    return [value if isinstance(value, Conditioning) else from_pair(value) for value in values]
