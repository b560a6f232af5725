"""The settings as dotted keys with their types, and the conversion of one value."""

from __future__ import annotations

from functools import cache
from typing import Literal, get_args, get_origin

import msgspec

from comfykernel.near_miss import did_you_mean, known_or_near
from comfykernel_sdk.errors import ConfigError
from comfykernel_sdk.json_types import Json
from comfykernel_sdk.settings import Settings

PLUGIN_TABLE = "plugin"
"""The table whose sub-tables belong to plugins: their keys are checked by the plugins themselves."""


@cache
def setting_keys() -> dict[str, object]:
    """Every dotted key (``http.port``) with its type, in the order of declaration; plugins' own tables excepted."""
    return {
        f"{section.name}.{field.name}": field.type
        for section in msgspec.structs.fields(Settings)
        if section.name != PLUGIN_TABLE
        for field in msgspec.structs.fields(section.type)
    }


@cache
def section_names() -> tuple[str, ...]:
    """The tables of ``comfykernel.toml``."""
    return tuple(section.name for section in msgspec.structs.fields(Settings))


def check_key(key: str, origin: str) -> None:
    """Refuse a key that is no setting.

    Raises:
        ConfigError: names the key, the table, the origin and the nearest known key.
    """
    table, _, name = key.partition(".")
    if key in setting_keys() or (table == PLUGIN_TABLE and name.count(".") >= 1):
        return
    if table not in section_names():
        hint = known_or_near(table, section_names(), what="Tables")
        raise _error(f"There is no table [{table}].", key, origin, hint)
    if not name:
        raise _error(f"{table} must be a table of settings.", key, origin, f"Write [{table}] and its keys below it.")
    if table == PLUGIN_TABLE:
        raise _error(f"{key} must be a table.", key, origin, f"Write [plugin.{name}] and its keys below it.")
    known = [k.partition(".")[2] for k in setting_keys() if k.startswith(f"{table}.")]
    elsewhere = [k for k in setting_keys() if k.endswith(f".{name}")]
    hint = did_you_mean(name, known) or (f"Did you mean {elsewhere[0]!r}?" if elsewhere else "")
    raise _error(f"Unknown setting {name!r} in table [{table}].", key, origin, hint or f"Known: {', '.join(known)}.")


def convert(key: str, value: object, origin: str, *, from_text: bool = False) -> object:
    """One value in the type of its key. ``from_text`` reads numbers, booleans and lists from their text.

    Raises:
        ConfigError: the value does not fit; names key, value and origin.
    """
    kind = setting_keys().get(key, Json)
    if from_text and isinstance(value, str):
        value = _list_of(value) if kind == tuple[str, ...] else value
    try:
        return msgspec.convert(value, kind, strict=not from_text)
    except msgspec.ValidationError as error:
        reason = str(error).replace("`", "'")
        choices = [str(choice) for choice in get_args(kind)] if get_origin(kind) is Literal else []
        hint = known_or_near(str(value), choices, what="Possible") if choices else ""
        raise _error(f"Wrong value {value!r} for {key}: {reason}.", key, origin, hint) from None


def _list_of(text: str) -> object:
    if text.lstrip().startswith("["):
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            return text
    return [part.strip() for part in text.split(",") if part.strip()]


def _error(message: str, key: str, origin: str, hint: str) -> ConfigError:
    return ConfigError(message, details=f"({origin})", hint=hint, extra_info={"key": key, "origin": origin})
