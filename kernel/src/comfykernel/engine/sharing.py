"""What nodes are handed of values that others hold too: the cache, and the other readers of the same output.

Lists, dicts and tuples are made anew for every call, so that a node which changes one changes its own. Arrays (torch's
tensors, numpy's arrays) are large: a node gets the very ones, unless its definition says that it ``changes_inputs``;
then it gets copies of those that others hold. One that changes an array without saying so fails, and what it spoilt is
forgotten. Every other object is handed over as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

from comfykernel_sdk.errors import ComfykernelError

if TYPE_CHECKING:
    from collections.abc import Container

    from .calls import Arguments

CONTAINERS: Final = (dict, list, tuple)


class ChangedInput(ComfykernelError):
    """Raised when a node has changed an array that others hold."""

    default_type = "changed_input"


_known_types: dict[type, bool] = {}


def is_array(kind: type) -> bool:
    """Whether a type is that of arrays: told by what they can do, so that no library need be imported."""
    known = _known_types.get(kind)
    if known is None:
        known = hasattr(kind, "untyped_storage") or hasattr(kind, "__array_interface__")
        _known_types[kind] = known
    return known


@final
class Handed:
    """The arrays that one node was handed: copies, or watched originals when it may not change them."""

    __slots__ = ("_arrays", "_copy", "_watch")

    def __init__(self, *, copy: bool, watch: bool) -> None:
        self._copy = copy
        self._watch = watch
        self._arrays: list[tuple[str, Any, int | None]] = []

    def prepare(self, arguments: Arguments, hidden: Container[str]) -> None:
        """Replace containers by new ones, and arrays by copies where this node gets copies; not in hidden inputs."""
        for name, value in arguments.items():
            kind = type(value)
            if (kind in CONTAINERS or is_array(kind)) and name not in hidden:
                arguments[name] = self._fresh(name, value, {})

    def _fresh(self, name: str, value: Any, known: dict[int, object]) -> object:
        if id(value) in known:  # one object in two places, or a list in itself
            return known[id(value)]
        made: Any = value
        if type(value) is dict:
            known[id(value)] = made = dict[Any, object]()
            made.update((key, self._fresh(name, item, known)) for key, item in value.items())
        elif type(value) is list:
            known[id(value)] = made = list[object]()
            made.extend(self._fresh(name, item, known) for item in value)
        elif type(value) is tuple:
            made = tuple(self._fresh(name, item, known) for item in value)
        elif is_array(type(value)):
            if self._copy:
                made = known[id(value)] = value.clone() if hasattr(value, "clone") else value.copy()
            elif self._watch:
                self._arrays.append((name, value, _version(value)))
        return made

    def changed(self) -> list[tuple[str, object]]:
        """The arrays that are no longer as they were handed over, with the name of the input."""
        return [(name, array) for name, array, version in self._arrays if _version(array) != version]


def _version(array: Any) -> int | None:
    """Counts the changes of a tensor. ``None``: nobody counts (numpy), or it can't be changed (inference tensors)."""
    try:
        version: int | None = getattr(array, "_version", None)
    except RuntimeError:
        return None
    return version


def storage_of(array: Any) -> int:
    """The same for all arrays that share their memory."""
    return int(array.untyped_storage().data_ptr()) if hasattr(array, "untyped_storage") else id(array)
