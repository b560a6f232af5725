"""Type aliases for plain JSON values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
    JsonObject: TypeAlias = dict[str, Json]
else:
    # msgspec reads annotations at run time and knows no recursive aliases.
    Json = Any
    JsonObject = dict[str, Any]
