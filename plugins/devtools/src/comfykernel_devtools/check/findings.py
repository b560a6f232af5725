"""What a check finds, as data."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Severity: TypeAlias = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that a rule found. ``file`` and ``line`` (from 1) tell where, as far as that is known."""

    rule: str
    severity: Severity
    message: str
    hint: str = ""
    node: str = ""
    input: str = ""
    file: str = ""
    line: int | None = None


class Report(msgspec.Struct, kw_only=True):
    """All about one pack. Times are seconds of the processor."""

    pack: str
    distribution: str
    version: str
    folder: str
    nodes: list[str]
    import_s: float
    register_s: float
    findings: list[Finding]

    def count(self, severity: Severity) -> int:
        """How many findings are of this severity."""
        return sum(finding.severity == severity for finding in self.findings)
