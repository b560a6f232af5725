"""Check and convert the constant inputs of one node."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from comfykernel_sdk.json_types import Json, JsonObject

if TYPE_CHECKING:
    from comfykernel_sdk.nodes import InputSpec

LONG_LIST: Final = 20
"""A list of more choices is not repeated in an error."""

CONVERTERS: Final[dict[str, Callable[[Json], Json]]] = {
    "INT": lambda value: int(value),  # type: ignore[arg-type]
    "FLOAT": lambda value: float(value),  # type: ignore[arg-type]
    "STRING": str,
    "BOOLEAN": bool,
}


def node_error(type: str, message: str, details: str, extra_info: JsonObject) -> JsonObject:
    """One entry of a node's ``errors``."""
    return {"type": type, "message": message, "details": details, "extra_info": extra_info}


def refused_value(spec: InputSpec, config: Json, value: Json) -> JsonObject:
    """The ``extra_info`` of an error about a value that an input got."""
    return {"input_name": spec.name, "input_config": config, "received_value": value}


def input_config(spec: InputSpec, choices: list[Json] | None) -> list[Json]:
    """The input as object_info shows it, always with options: ``[type or choices, {...}]``."""
    shown: Json = list(choices) if choices is not None and spec.as_list else spec.type
    options: JsonObject = dict(spec.options or {})
    if choices is not None and not spec.as_list:
        options["options"] = list(choices)
    return [shown, options]


def conversion_error(spec: InputSpec, config: Json, value: Json, error: Exception) -> JsonObject:
    """The value has a type that can't become the declared one."""
    message = f"Failed to convert an input value to a {spec.type} value"
    extra: JsonObject = {**refused_value(spec, config, value), "exception_message": str(error)}
    return node_error("invalid_input_type", message, f"{spec.name}, {value}, {error}", extra)


def range_error(spec: InputSpec, value: Json) -> JsonObject | None:
    """The value is below ``min`` or above ``max``; ``None`` when it fits."""
    options = spec.options
    if not options or not isinstance(value, (int, float)):
        return None
    low, high = options.get("min"), options.get("max")
    # Written so that NaN, which is below and above nothing, fits no range.
    if isinstance(low, (int, float)) and not value >= low:
        kind, message = "value_smaller_than_min", f"Value {value} smaller than min of {low}"
    elif isinstance(high, (int, float)) and not value <= high:
        kind, message = "value_bigger_than_max", f"Value {value} bigger than max of {high}"
    else:
        return None
    return node_error(kind, message, spec.name, refused_value(spec, input_config(spec, spec.choices), value))


def choice_error(spec: InputSpec, choices: list[Json], value: Json) -> JsonObject | None:
    """The value is none of the choices; ``None`` when it is one."""
    if value in choices:
        return None
    long = len(choices) > LONG_LIST
    listed = f"(list of length {len(choices)})" if long else str(choices)
    extra = refused_value(spec, None if long else input_config(spec, choices), value)
    return node_error("value_not_in_list", "Value not in list", f"{spec.name}: '{value}' not in {listed}", extra)


def fits(received: str, wanted: str) -> bool:
    """Whether an output of one type may be linked to an input of another; both may name several types."""
    return received == wanted or bool(set(received.split(",")) & set(wanted.split(",")))


def shared_types(one: str, other: str) -> str:
    """The types that two lists of types share, ``""`` when there is none; ``*`` stands for every type."""
    if "*" in (one, other):
        return other if one == "*" else one
    return ",".join(type for type in one.split(",") if type in other.split(","))


def unknown_slots(group: InputSpec, given: JsonObject) -> list[JsonObject]:
    """An error for each given name that belongs to a growing group but is none of its slots."""
    names = group.slots.names if group.slots else []
    known, errors = {f"{group.name}.{name}" for name in names}, []
    for name in given:
        if name not in known and (name == group.name or name.startswith(f"{group.name}.")):
            details = f"{name}: {group.name} takes {group.name}.{names[0]} to {group.name}.{names[-1]}"
            extra: JsonObject = {"input_name": name, "input_config": input_config(group, None)}
            errors.append(node_error("unknown_input", "This growing group has no such input", details, extra))
    return errors
