"""How a link goes on through a bypassed node: which of its inputs stands in for one of its outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .document import Slot

ANY: Final = "*"


def stand_in(inputs: Sequence[Slot], outputs: Sequence[Slot], index: int, wanted: str) -> Slot | None:
    """The input whose link replaces output ``index``, for a final target of type ``wanted``.

    For a target that takes any type it is the input of the same number, or the first; else the input of the same
    number if it fits both ends, the first of exactly the wanted type, the first that fits both ends, or none.
    """
    if not inputs:
        return None
    same = inputs[index] if 0 <= index < len(inputs) else None
    if wanted == ANY:
        return same or inputs[0]
    given = outputs[index].wire_type if 0 <= index < len(outputs) else ANY
    if same is not None and _fits_both(same, given, wanted):
        return same
    exact = (slot for slot in inputs if slot.wire_type.lower() == wanted.lower())
    fitting = (slot for slot in inputs if _fits_both(slot, given, wanted))
    return next(exact, None) or next(fitting, None)


def fits(one: str, other: str) -> bool:
    """Whether two wire types may be linked: equal ignoring case, one takes any, or their lists share a member."""
    if ANY in (one, other):
        return True
    first, second = one.lower(), other.lower()
    return first == second or bool(set(first.split(",")) & set(second.split(",")))


def _fits_both(slot: Slot, given: str, wanted: str) -> bool:
    return fits(slot.wire_type, given) and fits(slot.wire_type, wanted)
