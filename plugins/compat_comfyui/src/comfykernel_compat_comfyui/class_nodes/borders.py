"""The border between nodes of comfykernel and nodes of packs: values that the two know in different forms.

What is not registered here is the same on both sides: images, masks, latents, numbers, texts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

Convert: TypeAlias = Callable[[object], object]

_to_pack: Final[dict[type, Convert]] = {}
_from_pack: Final[dict[type, Convert]] = {}
_pairs: Final[list[tuple[Callable[[list[object]], bool], Convert]]] = []


def register_forms(ours: type, theirs: type, *, wrap: Convert, unwrap: Convert) -> None:
    """Have values of one class turned into the other at the border, subclasses included."""
    _to_pack[ours] = wrap
    _from_pack[theirs] = unwrap


def register_list_form(recognise: Callable[[list[object]], bool], *, unwrap: Convert) -> None:
    """Have lists of packs that are recognised, such as conditions, turned into values of comfykernel."""
    _pairs.append((recognise, unwrap))


def to_pack(value: object) -> object:
    """A value as nodes of packs know it."""
    return _convert(value, _to_pack)


def from_pack(value: object) -> object:
    """A value as nodes of comfykernel know it."""
    return _convert(value, _from_pack)


def _convert(value: object, table: dict[type, Convert]) -> object:
    if isinstance(value, list):
        return _convert_list(value, table)
    for kind in type(value).__mro__[:-1]:
        convert = table.get(kind)
        if convert is not None:
            return convert(value)
    return value


def _convert_list(values: list[object], table: dict[type, Convert]) -> object:
    """A list whose items change becomes a new one; any other stays the list it is."""
    if table is _from_pack:
        for recognise, unwrap in _pairs:
            if recognise(values):
                return unwrap(values)
    changed = [_convert(item, table) for item in values]
    return changed if any(new is not old for new, old in zip(changed, values, strict=True)) else values
