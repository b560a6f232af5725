"""How much memory values hold, without knowing the libraries that they come from."""

from __future__ import annotations

import sys
from collections.abc import Mapping


def memory_size(value: object) -> int:
    """Bytes of arrays (``nbytes``), texts and what containers hold; each object counts once."""
    total = 0
    seen: set[int] = set()
    stack = [value]
    while stack:
        item = stack.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        size = getattr(item, "nbytes", None)
        if isinstance(size, int):
            total += size
        elif isinstance(item, (str, bytes, bytearray)):
            total += sys.getsizeof(item)
        elif isinstance(item, Mapping):
            stack.extend(item.values())
        elif isinstance(item, (list, tuple, set, frozenset)):
            stack.extend(item)
    return total
