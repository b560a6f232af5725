"""Small questions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def exists(x: object) -> bool:
    """Whether there is a value."""
    return x is not None


def default(val: T | None, d: T | Callable[[], T]) -> T:
    """A value, or what stands for it."""
    if val is not None:
        return val
    return d() if callable(d) else d
