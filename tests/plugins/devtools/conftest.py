"""Packs in a folder, as their authors have them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from comfykernel_devtools.check.checking import check
from comfykernel_devtools.check.findings import Finding, Report
from comfykernel_devtools.check.pack_source import find_pack
from comfykernel_sdk.settings import Settings

PYPROJECT = """
[project]
name = "odd-pack"
version = "1.0"
description = "Odd"
readme = "README.md"
license = "MIT"
dependencies = ["comfykernel-sdk"]
[project.entry-points."comfykernel.nodes"]
odd = "odd_pack.plugin"
"""
PLUGIN = """
from comfykernel_sdk.hooks import hookimpl


@hookimpl
def register_nodes(register):
    from comfykernel_sdk.nodes import NodePack

    from . import nodes

    pack = NodePack("odd")
    pack.add_module(nodes)
    register(pack)
"""
HEAD = """\
from typing import Annotated, Literal
from comfykernel_sdk.nodes import *
from comfykernel_sdk.sockets import *
"""

MakePack: TypeAlias = Callable[..., Path]
CheckNodes: TypeAlias = Callable[..., "Checked"]


class Checked:
    """A report and the nodes that it is about."""

    def __init__(self, report: Report, nodes: Path) -> None:
        self.report = report
        self.lines = nodes.read_text().splitlines()

    def of(self, rule: str) -> list[Finding]:
        """What one rule found."""
        return [finding for finding in self.report.findings if finding.rule == rule]

    def line(self, finding: Finding) -> str:
        """The line of nodes.py that a finding points to."""
        assert finding.file.endswith("nodes.py")
        assert finding.line is not None
        return self.lines[finding.line - 1].strip()


@pytest.fixture
def make_pack(tmp_path: Path) -> MakePack:
    """``make_pack(source, plugin=..., pyproject=...)``: the folder of a complete project with these nodes."""

    def make(source: str, *, plugin: str = PLUGIN, pyproject: str = PYPROJECT) -> Path:
        folder = tmp_path / "odd-pack"
        package = folder / "src/odd_pack"
        package.mkdir(parents=True)
        (folder / "tests").mkdir()
        (folder / "tests/test_odd.py").write_text("")
        (folder / "pyproject.toml").write_text(pyproject)
        (package / "__init__.py").write_text("")
        (package / "py.typed").write_text("")
        (package / "plugin.py").write_text(plugin)
        (package / "nodes.py").write_text(HEAD + textwrap.dedent(source))
        return folder

    return make


@pytest.fixture
def check_nodes(make_pack: MakePack, monkeypatch: pytest.MonkeyPatch) -> CheckNodes:
    """``check_nodes(source)``: what is wrong with these nodes."""

    def check_them(source: str, *, with_others: bool = False, **more: str) -> Checked:
        folder = make_pack(source, **more)
        return Checked(
            check(find_pack(str(folder)), Settings(), with_others=with_others), folder / "src/odd_pack/nodes.py"
        )

    return check_them
