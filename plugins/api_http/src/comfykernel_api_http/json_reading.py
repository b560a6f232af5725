"""JSON of requests: as lenient as Python's own reader, bounded in depth."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import msgspec

from comfykernel_sdk.errors import BadInput

if TYPE_CHECKING:
    from comfykernel_sdk.json_types import Json, JsonObject

MAX_DEPTH: Final = 200
"""Nesting of lists and objects in a request; deeper ones could exhaust the stack of whoever reads them next."""

MAX_CONTAINERS: Final = 200_000
"""Lists and objects in a request, counted by their brackets; millions of them would hold up everybody for seconds."""

_decoder: Final = msgspec.json.Decoder()


def read_json(data: bytes) -> Json:
    """The value that a body holds.

    NaN, infinities, numbers out of range and a byte order mark are read as Python's ``json`` does.

    Raises:
        BadInput: it is no JSON, holds half a surrogate pair, is nested more than ``MAX_DEPTH`` deep, or has more than
            ``MAX_CONTAINERS`` lists and objects.
    """
    containers = data.count(b"[") + data.count(b"{")
    if containers > MAX_CONTAINERS:
        raise BadInput(
            "The body has too many lists and objects.", details=f"At most {MAX_CONTAINERS}.", type="too_many_containers"
        )
    try:
        value: Json = _decoder.decode(data)
    except RecursionError:
        raise _too_deep() from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        value = _read_leniently(data)
    if containers > MAX_DEPTH:
        _check_depth(value)
    return value


def read_object(data: bytes) -> JsonObject:
    """The same, when it must be an object.

    Raises:
        BadInput: it is no JSON object.
    """
    value = read_json(data)
    if not isinstance(value, dict):
        raise BadInput("The body must be a JSON object.", type="invalid_body")
    return value


def _read_leniently(data: bytes) -> Json:
    try:
        value: Json = json.loads(data)
        msgspec.json.encode(value)
    except RecursionError:
        raise _too_deep() from None
    except UnicodeEncodeError:
        raise BadInput("A text of the body holds half a surrogate pair.", type="invalid_json") from None
    except ValueError as error:
        raise BadInput("The body is not valid JSON.", details=str(error), type="invalid_json") from None
    return value


def _check_depth(value: Json) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, dict) else parent)  # type: ignore[union-attr]
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> BadInput:
    return BadInput("The body is nested too deeply.", details=f"At most {MAX_DEPTH} levels.", type="too_deep")
