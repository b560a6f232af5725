"""Values that nodes put on conditions, for models to read by their names."""

from __future__ import annotations

from collections.abc import Sequence

from comfykernel_core_nodes.diffusion.conditioning import Conditioning


def with_values(conditions: Sequence[Conditioning], **values: object) -> list[Conditioning]:
    """Conditions that carry these values, too; a value that they had under the same name is replaced."""
    return [each.with_changes(extra={**each.extra, **values}) for each in conditions]


def with_appended(conditions: Sequence[Conditioning], name: str, value: object) -> list[Conditioning]:
    """Conditions with one more value in the row that they carry under a name."""
    return [each.with_changes(extra={**each.extra, name: (*_row(each, name), value)}) for each in conditions]


def _row(condition: Conditioning, name: str) -> Sequence[object]:
    row = condition.extra.get(name, ())
    return row if isinstance(row, list | tuple) else ()
