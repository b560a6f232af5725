"""Values of node packs as JSON data that can leave the process."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from comfykernel_sdk.json_types import Json


def plain_data(value: object) -> Json:
    """A copy made of plain JSON types: tuples become lists, foreign numbers plain ones, other objects their text."""
    plain: Json = msgspec.to_builtins(value, str_keys=True, enc_hook=_foreign)
    return _without_tuples(plain)


def plain_copy(value: object) -> object:
    """A copy of JSON data, quick also for large graphs."""
    try:
        return msgspec.msgpack.decode(msgspec.msgpack.encode(value))
    except (TypeError, ValueError, OverflowError):  # what an expansion put into its graph, or a very large number
        return copy.deepcopy(value)


def _without_tuples(value: object) -> Json:
    if isinstance(value, (list, tuple)):
        return [_without_tuples(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _without_tuples(item) for key, item in value.items()}
    return value  # type: ignore[return-value]


def _foreign(value: object) -> object:
    """A number of an array library gives its plain value."""
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "shape", None) == () else str(value)
