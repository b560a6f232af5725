"""What holds for every test: one thread a process, the same examples at each run, and a place to install plugins."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import hypothesis
import pytest

from comfykernel_sdk.families import use_families

os.environ.setdefault("OMP_NUM_THREADS", "1")

hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.load_profile("repeatable")

InstallPlugin: TypeAlias = Callable[[str, str, str], None]


@pytest.fixture(autouse=True)
def installed_model_families() -> Iterator[None]:
    """A test that makes an engine leaves the model families of its process as they were."""
    yield
    use_families(None)


@pytest.fixture
def install_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InstallPlugin]:
    """``install_plugin(module, group, source)``: what pip leaves behind, for this process and those it starts.

    The distribution has the module's name and version 1.2, its one entry point ``module`` without ``_plugin``.
    Only plugins that were installed so are loaded, besides the chosen storage, scheduler and transports.
    """
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("COMFYKERNEL_LOAD_PLUGINS", "")

    installed: list[str] = []

    def install(module: str, group: str, source: str) -> None:
        installed.append(module)
        (folder / f"{module}.py").write_text(textwrap.dedent(source))
        info = folder / f"{module}-1.2.dist-info"
        info.mkdir()
        distribution = module.replace("_", "-")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{module.removesuffix('_plugin')} = {module}\n")
        names = [name for name in os.environ["COMFYKERNEL_LOAD_PLUGINS"].split(",") if name]
        monkeypatch.setenv("COMFYKERNEL_LOAD_PLUGINS", ",".join([*names, distribution]))

    yield install
    for module in installed:
        sys.modules.pop(module, None)
