"""Runs a check: imports the pack in a process of its own, then asks every rule."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from .findings import SEVERITIES, Finding, Report
from .input_rules import check_inputs
from .inspected import Failure, Inspection, Request
from .node_rules import check_nodes
from .pack_rules import check_pack

if TYPE_CHECKING:
    from comfykernel_sdk.settings import Settings

    from .pack_source import PackSource

LONGEST_S: Final = 300.0
"""Seconds after which a pack that still loads counts as one that never does."""
LAST_CHARACTERS: Final = 2_000
"""Of what a pack printed before it took its process down."""


def check(source: PackSource, settings: Settings, *, with_others: bool = True) -> Report:
    """All that is wrong with a pack, the worst first.

    ``with_others`` loads the other packs that are installed, too, to find collisions and unknown types.
    """
    request = Request(
        distribution=source.distribution,
        entries=source.entries,
        packages=source.packages,
        search=source.search,
        settings=settings,
        with_others=with_others,
    )
    found = inspect_in_process(request)
    findings = [*check_pack(source, found), *check_nodes(found), *check_inputs(found, with_others=with_others)]
    findings.sort(key=lambda each: (SEVERITIES.index(each.severity), each.file, each.line or 0))
    return Report(
        pack=next(iter(source.entries)),
        distribution=source.distribution,
        version=source.version,
        folder=str(source.project or ""),
        nodes=[node.spec.id for node in found.nodes],
        import_s=round(found.import_s, 4),
        register_s=round(found.register_s, 4),
        findings=findings,
    )


def inspect_in_process(request: Request) -> Inspection:
    """What the import of the pack shows; a pack that takes its process down shows that alone."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "inspection.json"
        command = [sys.executable, "-m", f"{__package__}.inspection", str(result)]
        try:
            done = subprocess.run(
                command, input=msgspec.json.encode(request), capture_output=True, timeout=LONGEST_S, check=False
            )
        except subprocess.TimeoutExpired:
            text = f"It was not loaded within {LONGEST_S:g} s."
            return Inspection(failure=Failure(doing="is loaded", message=text, traceback=""))
        if result.is_file():
            return msgspec.json.decode(result.read_bytes(), type=Inspection)
        printed = done.stderr.decode(errors="replace")[-LAST_CHARACTERS:]
        text = f"The process that loaded it ended with exit code {done.returncode}."
        return Inspection(failure=Failure(doing="is loaded", message=text, traceback=printed))


def counted(findings: list[Finding], *, strict: bool) -> bool:
    """Whether the pack fails: it has errors, or with ``strict`` warnings."""
    return any(each.severity == "error" or (strict and each.severity == "warning") for each in findings)
