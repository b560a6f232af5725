"""Plugins written to a temporary folder, with their entry points."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

_numbers = itertools.count()


@pytest.fixture
def write_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., EntryPoint]:
    """``write_plugin(group, name, source)`` writes a module and returns the entry point that names it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(group: str, name: str, source: str) -> EntryPoint:
        module = f"written_plugin_{next(_numbers)}"
        text = "from comfykernel_sdk.hooks import hookimpl\n" + textwrap.dedent(source)
        (tmp_path / f"{module}.py").write_text(text)
        return EntryPoint(name, module, group)

    return write
