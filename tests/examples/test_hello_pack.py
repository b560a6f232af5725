"""The example pack is installed as a stranger's would be, and its nodes are there and run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError

import PIL.Image
import pytest

pytestmark = pytest.mark.e2e

PACK = Path(__file__).parents[2] / "examples/hello_pack"
START_S = 120.0
GRAPH = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 32, "height": 32, "batch_size": 1, "color": 0xFFFFFF}},
    "2": {"class_type": "HelloVignette", "inputs": {"image": ["1", 0], "strength": 1.0}},
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "hello"}},
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that has the pack installed."""
    site = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(site), str(PACK)], check=True, capture_output=True)
    return {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}


@contextlib.contextmanager
def serving(base: Path, environment: dict[str, str]) -> Iterator[str]:
    """The address of a server that answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "comfykernel_cli", "serve", "--cpu", "--port", str(port)]
    with (
        (base / "log").open("wb") as log,
        subprocess.Popen([*command, "--base-directory", str(base)], env=environment, stdout=log, stderr=log) as process,
    ):
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0, (base / "log").read_text()


def fetch(url: str) -> Any:
    end = time.monotonic() + START_S
    while True:
        try:
            with urllib.request.urlopen(url, timeout=START_S) as answer:
                return json.load(answer)
        except URLError as error:
            if not isinstance(error.reason, ConnectionError) or time.monotonic() > end:
                raise
            time.sleep(0.05)


def test_its_nodes_appear_in_object_info(environment: dict[str, str], tmp_path: Path) -> None:
    with serving(tmp_path, environment) as url:
        info = fetch(f"{url}/object_info")
    assert {"HelloGreeting", "HelloVignette", "SaveImage"} <= set(info)
    assert info["HelloVignette"]["input"]["required"]["strength"][1]["default"] == 0.5
    assert info["HelloGreeting"]["input"]["required"]["language"][0] == ["English", "Deutsch", "Español"]


def test_its_nodes_run_among_others(environment: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "comfykernel_cli", "run", "-", "--cpu", "--json"]
    done = subprocess.run(
        [*command, "--base-directory", str(tmp_path)],
        input=json.dumps(GRAPH), env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (file,) = json.loads(done.stdout)["files"]
    with PIL.Image.open(file["path"]) as picture:
        assert picture.getpixel((0, 0)) == (0, 0, 0)
        assert picture.getpixel((16, 16)) > (240, 240, 240)


def test_nothing_is_wrong_with_it() -> None:
    command = [sys.executable, "-m", "comfykernel_cli", "check", str(PACK), "--alone", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["findings"] == []
