"""Whatever a pack declares, as plain JSON data for clients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from comfykernel_sdk.json_types import Json

LARGEST_WHOLE: Final = 2**64 - 1
SMALLEST_WHOLE: Final = -(2**63)
"""Whole numbers beyond these bounds are shown as floating point numbers."""


def shown(value: object) -> Json:
    """A copy made of plain JSON types.

    Subclasses of text and mappings lose what they add, foreign numbers become plain ones, other objects their text.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value) if SMALLEST_WHOLE <= value <= LARGEST_WHOLE else float(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Mapping):
        return {str(key): shown(item) for key, item in value.items()}
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "shape", None) == ():
        return shown(item())
    if isinstance(value, Iterable) and not isinstance(value, (bytes, bytearray, type)):
        return [shown(item) for item in value]
    return str(value)
