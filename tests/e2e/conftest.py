"""A real server with its worker as processes, on a free port and in a folder of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

PACKS = Path(__file__).parents[1] / "packs"
START_S = 120.0
JOB_S = 180.0


class Server:
    """`comfykernel serve` on a folder; may be killed and started again."""

    def __init__(self, base: Path, *sites: Path, python: Path | None = None) -> None:
        with contextlib.closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.base = base
        self.python = str(python or sys.executable)
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.url, timeout=60, trust_env=False)
        self._environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, sites)), "OMP_NUM_THREADS": "1"}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *flags: str) -> None:
        """Start and wait until it answers."""
        command = [
            self.python,
            "-m",
            "comfykernel_cli",
            "serve",
            "--port",
            str(self.port),
            "--cpu",
            "--verbose",
            "DEBUG",
        ]
        with (self.base / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--base-directory", str(self.base), *flags], stdout=log, stderr=log, env=self._environment
            )
        self.wait(self._answers, "an answer", START_S)

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"the server ended: {self.log()[-2000:]}")
        try:
            return self.http.get("/prompt").status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """kill -9, as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Stop as Ctrl-C does, and see that no process is left."""
        self.http.close()
        if self._process is None or self._process.poll() is not None:
            return
        children = psutil.Process(self._process.pid).children(recursive=True)
        self._process.send_signal(signal.SIGINT)
        assert self._process.wait(30) == 0
        gone, alive = psutil.wait_procs(children, timeout=10)
        assert not alive, f"left behind: {alive}, ended: {gone}"

    def workers(self) -> list[psutil.Process]:
        """The worker processes."""
        assert self._process is not None
        found = []
        for child in psutil.Process(self._process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if "comfykernel_scheduler_local.worker" in " ".join(child.cmdline()):
                    found.append(child)
        return found

    def post(self, graph: dict[str, Any], **more: Any) -> str:
        """Submit a prompt; returns its id."""
        answer = self.http.post("/prompt", json={"prompt": graph, **more})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["prompt_id"])

    def history(self, prompt_id: str) -> dict[str, Any]:
        """Wait for the end of a job; returns its entry."""
        self.wait(lambda: prompt_id in self.http.get(f"/history/{prompt_id}").json(), f"the end of {prompt_id}", JOB_S)
        entry: dict[str, Any] = self.http.get(f"/history/{prompt_id}").json()[prompt_id]
        return entry

    def running(self) -> list[str]:
        """Ids of the jobs that run."""
        return [item[1] for item in self.http.get("/queue").json()["queue_running"]]

    def wait(self, test: Callable[[], object], what: str, seconds: float = 60.0) -> None:
        """Wait until something holds."""
        end = time.monotonic() + seconds
        while not test():
            assert time.monotonic() < end, f"waited in vain for {what}; the log ends: {self.log()[-3000:]}"
            time.sleep(0.02)

    def log(self) -> str:
        """What server and worker have printed."""
        return (self.base / "server.log").read_text(errors="replace")


@pytest.fixture(scope="session")
def pack_site(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Installs a test pack into a folder, to be put on a server's path."""

    def install(name: str) -> Path:
        site = tmp_path_factory.mktemp("site")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
        subprocess.run([*pip, "--target", str(site), str(PACKS / name)], check=True, capture_output=True)
        return site

    return install


@pytest.fixture(scope="session")
def contract_site(pack_site: Callable[[str], Path]) -> Path:
    """A folder with the test nodes of the contract installed."""
    return pack_site("contract_nodes")


@pytest.fixture
def make_server(tmp_path: Path, contract_site: Path) -> Iterator[Callable[[], Server]]:
    """Makes servers (not started); all are stopped at the end."""
    servers: list[Server] = []

    def make() -> Server:
        base = tmp_path / f"base{len(servers)}"
        base.mkdir()
        servers.append(Server(base, contract_site))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def server(make_server: Callable[[], Server]) -> Server:
    """A server that runs."""
    server = make_server()
    server.start()
    return server
