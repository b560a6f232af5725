"""``serve --reload``: a pack changes under a running server; connections, queue and jobs live on."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import pytest

from .browser import CHROMIUM, open_browser
from .conftest import Server

pytestmark = pytest.mark.e2e

Start: TypeAlias = Callable[[], Server]

PLUGIN = """
from comfykernel_sdk.hooks import hookimpl


@hookimpl
def register_nodes(register):
    from comfykernel_sdk.nodes import NodePack

    from . import nodes

    pack = NodePack("living")
    pack.add_module(nodes)
    register(pack)
"""
NODES = """
import time
from comfykernel_sdk.nodes import Result, node


@node("LivingSay", output_node=True, volatile=True)
def say(seconds: float) -> Result[None]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)
    return Result(ui={"text": ["WORD"]})
"""
NEIGHBOUR = """
from comfykernel_sdk.hooks import hookimpl
from comfykernel_sdk.nodes import NodePack, node


@node("Neighbour")
def neighbour(number: int) -> int:
    return number


@hookimpl
def register_nodes(register):
    pack = NodePack("neighbour")
    pack.add(neighbour)
    register(pack)
"""
MORE = """

@node("LivingMore")
def more(number: int) -> int:
    return number + 1
"""
PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "living-pack"
version = "1.0"
[project.entry-points."comfykernel.nodes"]
living = "living_pack.plugin"
neighbour = "living_pack.neighbour"
[tool.hatch.build.targets.wheel]
packages = ["src/living_pack"]
"""


class LivingPack:
    """A pack installed with ``pip install -e`` in an environment of its own, to be edited."""

    def __init__(self, folder: Path) -> None:
        self.nodes = folder / "src/living_pack/nodes.py"
        self.nodes.parent.mkdir(parents=True)
        (self.nodes.parent / "__init__.py").write_text("")
        (self.nodes.parent / "plugin.py").write_text(PLUGIN)
        (self.nodes.parent / "neighbour.py").write_text(NEIGHBOUR)
        (folder / "pyproject.toml").write_text(PYPROJECT)
        self.write("first")

    def write(self, word: str, *, more: str = "") -> None:
        """Save as editors do: a new file in place of the old one."""
        half = self.nodes.with_suffix(".tmp")
        half.write_text(NODES.replace("WORD", word) + more)
        half.replace(self.nodes)


def say(seconds: float = 0.0) -> dict[str, Any]:
    return {"1": {"class_type": "LivingSay", "inputs": {"seconds": seconds}}}


def said(entry: dict[str, Any]) -> str:
    return str(entry["outputs"]["1"]["text"][0])


@pytest.fixture
def pack(tmp_path: Path) -> LivingPack:
    return LivingPack(tmp_path / "living")


@pytest.fixture
def start(tmp_path: Path, pack: LivingPack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a server with ``--reload`` whose environment has the pack installed for editing.

    Packs that import torch are left out: workers start many times here.
    """
    monkeypatch.setenv("COMFYKERNEL_PLUGINS__DISABLED", "core,compat_comfyui")
    site = tmp_path / "site"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(site),
    ]
    subprocess.run([*pip, "--target", str(site), "-e", str(tmp_path / "living")], check=True, capture_output=True)
    base = tmp_path / "base"
    base.mkdir()
    servers: list[Server] = []

    def begin() -> Server:
        # Python reads .pth files of its own site folder only: the second path stands for what they would do.
        servers.append(server := Server(base, Path(f"{site}:{tmp_path / 'living/src'}")))
        server.start("--reload")
        server.wait(lambda: "Watching" in server.log(), "the watcher")
        return server

    yield begin
    for server in servers:
        server.stop()


def test_a_changed_pack_is_there_without_a_new_server(start: Start, pack: LivingPack) -> None:
    server = start()
    before = server.http.get("/object_info")
    assert "LivingMore" not in before.json()
    assert said(server.history(server.post(say()))) == "first"
    (worker,) = server.workers()

    async def through_one_socket() -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{server.url}/ws?clientId=me") as socket,
        ):
            pack.write("later", more=MORE)
            await asyncio.to_thread(
                server.wait, lambda: "LivingMore" in server.http.get("/object_info").json(), "the new node"
            )
            answer = await asyncio.to_thread(
                server.http.get, "/object_info", headers={"If-None-Match": before.headers["etag"]}
            )
            assert answer.status_code == 200
            assert answer.headers["etag"] != before.headers["etag"]
            id = await asyncio.to_thread(server.post, say(), client_id="me")
            kinds = set()
            async with asyncio.timeout(60):
                async for message in socket:
                    data = json.loads(message.data) if message.type is aiohttp.WSMsgType.TEXT else {}
                    if data.get("type") == "comfykernel_reloaded":
                        assert data["data"] == {"new": ["LivingMore"], "gone": [], "changed": []}
                        kinds.add(data["type"])
                    if data.get("data", {}).get("prompt_id") == id:
                        kinds.add(data["type"])
                    if data.get("type") == "execution_success":
                        break
            assert {"comfykernel_reloaded", "execution_start", "executed", "execution_success"} <= kinds
            assert said(await asyncio.to_thread(server.history, id)) == "later"

    asyncio.run(through_one_socket())
    assert [process.pid for process in server.workers()] != [worker.pid]
    assert "/extensions/devtools/reload.js" in server.http.get("/extensions").json()


def test_a_running_job_ends_and_waiting_jobs_run_with_the_new_code(start: Start, pack: LivingPack) -> None:
    server = start()
    runs = server.post(say(3.0))
    waits = server.post(say())
    server.wait(lambda: server.running() == [runs], "the job that runs")
    pack.write("later")
    entry = server.history(runs)
    assert (entry["status"]["status_str"], said(entry)) == ("success", "first")
    assert said(server.history(waits)) == "later"
    assert "lost its worker" not in server.log()


def test_a_broken_pack_comes_back_when_it_is_mended(start: Start, pack: LivingPack) -> None:
    server = start()
    pack.write("x", more="\nthis is no Python\n")
    server.wait(lambda: "LivingSay" not in server.http.get("/object_info").json(), "the end of its nodes")
    assert "Neighbour" in server.http.get("/object_info").json()
    server.wait(lambda: "Pack living does not load" in server.log(), "the word of the log")
    assert "SyntaxError" in server.log()
    pack.write("again")
    server.wait(lambda: "LivingSay" in server.http.get("/object_info").json(), "its nodes")
    assert said(server.history(server.post(say()))) == "again"


def test_a_job_that_takes_too_long_goes_back_and_runs_with_the_new_code(
    start: Start, pack: LivingPack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFYKERNEL_PLUGIN__DEVTOOLS__RELOAD_PATIENCE_S", "0.3")
    monkeypatch.setenv("COMFYKERNEL_JOBS__MAX_ATTEMPTS", "1")
    server = start()
    id = server.post(say(600.0))
    server.wait(lambda: server.running() == [id], "the job that runs")
    pack.write("later", more="\n\n@node('LivingSay', output_node=True)\ndef say(seconds: float) -> Result[None]:\n"
               "    return Result(ui={'text': ['at once']})\n")  # fmt: skip
    assert said(server.history(id)) == "at once"


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_an_open_page_has_the_new_node(start: Start, pack: LivingPack) -> None:
    server = start()
    with open_browser() as browser:
        page = browser.tab()
        page.goto(server.url, wait_until="domcontentloaded")
        browser.wait(page, "() => window.LiteGraph?.registered_node_types.LivingSay")
        assert not page.evaluate("() => 'LivingMore' in LiteGraph.registered_node_types")
        pack.write("later", more=MORE)
        browser.wait(page, "() => window.LiteGraph?.registered_node_types.LivingMore")
