"""Records of a folder, and the comparison of results with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from safetensors import safe_open
from torch import Tensor

# Names of a case that are not inputs.
RESULTS: Final = frozenset({"expect", "tensors", "raises"})


class Absent(Exception):
    """Raised by a check for what this installation does not have; the message says what."""


@dataclass(frozen=True)
class Tolerance:
    """Allowed difference: rtol * |wanted| + atol; `of_largest` takes the largest |wanted| for all values."""

    rtol: float
    atol: float
    of_largest: bool = False


@dataclass(frozen=True, eq=False)
class Case:
    """One record."""

    name: str
    inputs: Mapping[str, Any]
    expect: Mapping[str, Any]
    shapes: Mapping[str, Any]
    raises: object
    file: Path = field(repr=False)

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        """The expected tensors by output."""
        if not self.shapes:
            return {}
        with safe_open(self.file, "pt") as file:
            return {output: file.get_tensor(f"{self.name}/{output}") for output in self.shapes}


class Records:
    """A folder of records."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._groups: dict[str, dict[str, Any]] = {}

    def groups(self) -> list[str]:
        """Names of the groups that hold cases."""
        names = sorted(path.stem for path in self.folder.glob("*.json"))
        return [name for name in names if "cases" in self.group(name)]

    def group(self, name: str) -> dict[str, Any]:
        """The whole content of a group's file."""
        if name not in self._groups:
            self._groups[name] = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
        return self._groups[name]

    @cached_property
    def models(self) -> dict[str, dict[str, Any]]:
        """The tiny models: class, configuration, and shape of each tensor."""
        models: dict[str, dict[str, Any]] = self.group("models")["models"]
        return models

    def cases(self, group: str) -> list[Case]:
        """All cases of a group."""
        file = self.folder / f"{group}.safetensors"
        return [
            Case(
                name,
                {key: value for key, value in raw.items() if key not in RESULTS},
                raw.get("expect", {}),
                raw.get("tensors", {}),
                raw.get("raises"),
                file,
            )
            for name, raw in self.group(group)["cases"].items()
        ]


def differences(got: Mapping[str, Tensor | None], wanted: Mapping[str, Tensor], tolerance: Tolerance) -> list[str]:
    """What is wrong, one sentence an output; empty when all is within the tolerance."""
    problems: list[str] = []
    for output, want in wanted.items():
        have = got.get(output)
        if have is None or have.shape != want.shape:
            found = "missing" if have is None else list(have.shape)
            problems.append(f"{output}: {found}, wanted {list(want.shape)}")
            continue
        w, g = want.double(), have.double().cpu()
        size = w.abs().max() if tolerance.of_largest and w.numel() else w.abs()
        same = ((g - w).abs() <= tolerance.rtol * size + tolerance.atol) | (g == w) | (g.isnan() & w.isnan())
        if not bool(same.all()):
            off = int((~same).sum())
            problems.append(f"{output}: {off} of {w.numel()} differ, by {float((g - w).abs().max()):.3e} at most")
    return problems


def unequal(name: str, got: object, wanted: object) -> list[str]:
    """What is wrong with a plain value."""
    return [] if got == wanted else [f"{name}: {str(got)[:80]}, wanted {str(wanted)[:80]}"]
