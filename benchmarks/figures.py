"""Prints what was measured: value, baseline of the same run, ratio, bound."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from importlib import metadata


@dataclass
class Figure:
    """One line of a table. ``bound`` is compared with the ratio when ``of_ratio``, else with the value."""

    what: str
    value: float
    unit: str
    baseline: float | None = None
    bound: float | None = None
    of_ratio: bool = False

    @property
    def ratio(self) -> float | None:
        return None if not self.baseline else self.value / self.baseline

    def row(self) -> str:
        ratio, baseline = self.ratio, self.baseline
        cells = [
            self.what,
            f"{self.value:,.4g} {self.unit}",
            "" if baseline is None else f"{baseline:,.4g} {self.unit}",
            "" if ratio is None else f"{ratio:.2f}",
            "" if self.bound is None else f"{'ratio ' if self.of_ratio else ''}≤ {self.bound:g}",
            self.verdict(),
        ]
        return "| " + " | ".join(cells) + " |"

    def verdict(self) -> str:
        measured = self.ratio if self.of_ratio else self.value
        if self.bound is None or measured is None:
            return ""
        return "holds" if measured <= self.bound else "**missed**"


def show(figures: list[Figure], *, baseline: str) -> None:
    """A table in Markdown."""
    torch = metadata.version("torch")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {sys.version.split()[0]}, torch {torch}")
    print(f"\n| what | measured | baseline: {baseline} | ratio | bound | |\n|---|---|---|---|---|---|")
    for figure in figures:
        print(figure.row())
