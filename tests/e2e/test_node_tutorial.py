"""docs/tutorial-nodes.md, run as it stands there, in an environment of its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sysconfig
import venv
from pathlib import Path

import PIL.Image
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PAGE = Path(__file__).parents[2] / "docs/tutorial-nodes.md"
FENCE = re.compile(r"^```(\w+)(?: (\w+)=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TOOLS = {"comfykernel": "comfykernel_cli", "pytest": "pytest", "mypy": "mypy", "pip": "pip"}
LONGEST_S = 1500.0
"""Seconds; a fraction of that on a machine that has nothing else to do."""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A virtual environment that has comfykernel with its tools, and what is installed there stays there."""
    place = tmp_path / "environment"
    venv.create(place, symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(place)}))
    (site / "project.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    scripts = place / "bin"
    # No Python program; run as a module it would look for itself among these scripts.
    (scripts / "ruff").symlink_to(Path(sysconfig.get_path("scripts")) / "ruff")
    for name, module in TOOLS.items():
        (scripts / name).write_text(f'#!/bin/sh\nexec "{scripts}/python" -m {module} "$@"\n')
        (scripts / name).chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("COMFYKERNEL_", "PYTHONPATH"))},
        "PATH": f"{scripts}:{os.environ['PATH']}",
        "COMFYKERNEL_HTTP__PORT": str(port),
        # The build tools are in the environment: nothing is fetched.
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_NO_INDEX": "1",
        "OMP_NUM_THREADS": "1",
        "no_proxy": "127.0.0.1",
    }


def script_of(page: str, port: str) -> tuple[str, list[str]]:
    """The page as one shell script, and the output that it promises, block by block."""
    lines, promises = ["set -euo pipefail"], [""]
    for language, word, value, text in FENCE.findall(page):
        if language == "sh":
            lines.append(text.replace("8188", port))
        elif word == "append":
            lines.append(f"cat >> {value} <<'END_OF_PYTHON'\n{text}END_OF_PYTHON")
        else:
            promises.append(text)
            lines.append(f"echo '--- promise {len(promises) - 1}'")
    return "\n".join(lines), promises


def test_the_tutorial_runs_as_it_stands(tmp_path: Path, environment: dict[str, str]) -> None:
    work = tmp_path / "work"
    work.mkdir()
    script, promises = script_of(PAGE.read_text(), environment["COMFYKERNEL_HTTP__PORT"])
    assert len(promises) > 5
    log = tmp_path / "output"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            ["bash", "-c", script], cwd=work, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        ) as shell,
    ):  # fmt: skip
        try:
            returncode = shell.wait(LONGEST_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
    printed = log.read_text()
    server = (work / "server.log").read_text() if (work / "server.log").is_file() else ""
    assert returncode == 0, printed + server
    keep_promises(printed, promises)
    with PIL.Image.open(work / "data/output/frame_00001_.png") as picture:
        assert (picture.getpixel((2, 32)), picture.getpixel((32, 32))) == ((0, 0, 0), (255, 0, 0))
    assert (work / "shape-tools/dist/shape_tools-0.1.0-py3-none-any.whl").is_file()


def keep_promises(printed: str, promises: list[str]) -> None:
    """Every line that the page shows was printed since the block before; ``...`` stands for anything."""
    start = 0
    for number, promise in enumerate(promises[1:], 1):
        end = printed.index(f"--- promise {number}\n")
        since = printed[start:end]
        for line in promise.splitlines():
            pattern = ".*".join(map(re.escape, line.split("...")))
            assert re.search(f"^{pattern}\\s*$", since, re.MULTILINE), f"{line!r} is not in:\n{since}"
        start = end


def test_every_fence_of_the_page_is_understood() -> None:
    page = PAGE.read_text()
    assert page.count("```") == 2 * len(FENCE.findall(page))
    assert {(language, word) for language, word, _, _ in FENCE.findall(page)} == {
        ("sh", ""), ("text", ""), ("python", "append"),
    }  # fmt: skip
