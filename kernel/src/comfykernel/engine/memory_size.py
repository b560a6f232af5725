"""What values hold, and how much memory that is, without knowing the libraries that they come from."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping


def leaves(value: object) -> Iterator[object]:
    """What stands in containers and records, and in those in them; each object once."""
    seen: set[int] = set()
    stack = [value]
    while stack:
        item = stack.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, Mapping):
            stack.extend(item.values())
        elif isinstance(item, (list, tuple, set, frozenset)):
            stack.extend(item)
        elif fields := _fields(type(item)):
            stack.extend(getattr(item, name, None) for name in fields)
        else:
            yield item


def _fields(kind: type) -> Iterable[str]:
    """Names of what a record holds: a dataclass or a msgspec struct."""
    fields: Iterable[str] = getattr(kind, "__dataclass_fields__", ()) or getattr(kind, "__struct_fields__", ())
    return fields


def memory_size(value: object) -> int:
    """Bytes of arrays (``nbytes``) and texts; each object counts once."""
    total = 0
    for item in leaves(value):
        size = getattr(item, "nbytes", None)
        if isinstance(size, int):
            total += size
        elif isinstance(item, (str, bytes, bytearray)):
            total += sys.getsizeof(item)
    return total
