"""Inputs that depend on other inputs: which ones a node has with the values it got, and how its function gets them.

Clients send them flat, under dotted names: a choice ``mode`` brings ``mode.width``, a growing group ``images`` holds
``images.image0``. The function gets the choice as a mapping ``{"mode": ..., "width": ...}`` and the group as a mapping
by slot or a list.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from .nodes import InputSpec


def is_dynamic(inputs: Iterable[InputSpec]) -> bool:
    """Whether the names of the inputs depend on their values."""
    return any(i.branches is not None or i.slots is not None for i in inputs)


def active_inputs(inputs: list[InputSpec], given: Mapping[str, object]) -> list[InputSpec]:
    """The inputs that a node has with these values, flat and under their dotted names.

    Of a growing group: the group itself (``slots`` is set; no client sends it), the slots that must be there and
    those that are given. Of a choice: the choice and the inputs of the value that was chosen.
    """
    return list(_active(inputs, given, "")) if is_dynamic(inputs) else inputs


def _active(inputs: Iterable[InputSpec], given: Mapping[str, object], prefix: str) -> Iterator[InputSpec]:
    for declared in inputs:
        name = prefix + declared.name
        yield msgspec.structs.replace(declared, name=name)
        if declared.slots is not None:
            yield from (slot for slot in _slots(declared, name) if slot.group == "required" or slot.name in given)
        elif declared.branches is not None:
            yield from _active(declared.branches.get(str(given.get(name)), ()), given, name + ".")


def _slots(group: InputSpec, name: str) -> Iterator[InputSpec]:
    assert group.slots is not None
    slot, needed = group.slots.input, group.slots.min if group.group == group.slots.input.group == "required" else 0
    for index, own_name in enumerate(group.slots.names):
        place = "required" if index < needed else "optional"
        yield msgspec.structs.replace(slot, name=f"{name}.{own_name}", group=place)


def all_inputs(inputs: Iterable[InputSpec], prefix: str = "") -> Iterator[InputSpec]:
    """Every input that a node may have, whatever is chosen, flat and under dotted names; groups as their slots."""
    for declared in inputs:
        name = prefix + declared.name
        if declared.slots is not None:
            yield from _slots(declared, name)
            continue
        yield msgspec.structs.replace(declared, name=name)
        for branch in (declared.branches or {}).values():
            yield from all_inputs(branch, name + ".")


def nest(inputs: Iterable[InputSpec], values: Mapping[str, object]) -> dict[str, object]:
    """What a function takes, from values under dotted names; a value that is nested already stays as it is."""
    nested = dict(values)
    for declared in inputs:
        name = declared.name
        if declared.slots is not None and name not in nested:
            names = [slot for slot in declared.slots.names if f"{name}.{slot}" in nested]
            group = {slot: nested.pop(f"{name}.{slot}") for slot in names}
            nested[name] = list(group.values()) if declared.slots.as_list else group
        elif declared.branches is not None and name in nested:
            chosen = nested[name]
            # With input_is_list every value is a list, the choice too.
            key = chosen[0] if isinstance(chosen, list) and chosen else chosen
            inner = {n.removeprefix(f"{name}."): nested.pop(n) for n in list(nested) if n.startswith(f"{name}.")}
            if not isinstance(key, dict):
                nested[name] = {name: chosen, **nest(declared.branches.get(str(key), ()), inner)}
    return nested


def nesting(inputs: list[InputSpec], function: Callable[..., object]) -> Callable[..., object]:
    """The same function of a node, called as ``function(instance, **flat)``."""
    signature = inspect.signature(function)
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    taken = [i for i in inputs if takes_any or i.name in signature.parameters]

    def call(instance: object, /, **flat: object) -> object:
        return function(instance, **nest(taken, flat))

    # Who asks for the parameters must find those of the node, with its instance exactly when the function has one.
    call.__signature__ = signature  # type: ignore[attr-defined]
    if hasattr(function, "__wrapped__"):
        call.__wrapped__ = function  # type: ignore[attr-defined]
    return call
