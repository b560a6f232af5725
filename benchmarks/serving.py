"""Starts the servers that are measured, as processes of their own, and talks to them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
START_S = 600.0
STOP_S = 15.0
POLL_S = 0.002


@dataclass
class Server:
    """A server that answers; ``seconds`` from the start of its process to its first answer."""

    port: int
    process: psutil.Process
    seconds: float

    def call(self, method: str, path: str, body: object = None) -> bytes:
        """The body of an answer of status 200; anything else raises."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_S)
        data = None if body is None else json.dumps(body).encode()
        connection.request(method, path, data, {"Content-Type": "application/json"} if data else {})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:2000]!r}")
        return content

    def header(self, path: str, name: str) -> str:
        """A header of the answer to GET."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_S)
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.headers[name]

    def cpu_seconds(self) -> float:
        """User and system time that the server process has used, exact to the microsecond where Linux tells it."""
        tasks = Path(f"/proc/{self.process.pid}/task")
        if tasks.is_dir():
            return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def post(self, graph: dict[str, object]) -> str:
        """Queue a prompt; returns its id."""
        return str(json.loads(self.call("POST", "/prompt", {"prompt": graph}))["prompt_id"])

    def wait_for(self, prompt_id: str, poll_s: float = 0.005) -> dict[str, object]:
        """The history of a prompt, once it has ended."""
        while not (entry := json.loads(self.call("GET", f"/history/{prompt_id}"))):
            time.sleep(poll_s)
        return dict(entry[prompt_id])


def only_queue(folder: Path) -> Path:
    """Answers for a bare server that knows GET /queue alone."""
    route = {"method": "GET", "path": "/queue", "body": "queue", "type": "application/json"}
    (folder / "routes.json").write_text(json.dumps([route]))
    (folder / "queue").write_text('{"queue_running":[],"queue_pending":[]}')
    return folder


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def started(argv: list[str], port: int, *, path: str, env: dict[str, str] | None = None) -> Iterator[Server]:
    """Run a server until the end of the ``with``; its output goes to a file that is shown when it fails."""
    with tempfile.TemporaryFile() as output:
        begun = time.perf_counter()
        process = subprocess.Popen(argv, stdout=output, stderr=output, env={**os.environ, **(env or {})})
        try:
            _wait_until_it_answers(process, port, path)
            yield Server(port, psutil.Process(process.pid), time.perf_counter() - begun)
        except BaseException:
            output.seek(0)
            sys.stderr.write(output.read().decode("utf-8", "replace")[-4000:])
            raise
        finally:
            _stop(process)


@contextlib.contextmanager
def comfykernel(base: Path, *, path: str = "/queue", flags: tuple[str, ...] = ()) -> Iterator[Server]:
    """``comfykernel serve`` with the benchmark's nodes, on the CPU."""
    port = free_port()
    argv = [sys.executable, "-m", "comfykernel_cli", "serve", "--port", str(port), "--base-directory", str(base)]
    env = {"PYTHONPATH": os.pathsep.join([str(HERE / "plugins"), os.environ.get("PYTHONPATH", "")])}
    with started([*argv, "--cpu", *flags], port, path=path, env=env) as server:
        yield server


@contextlib.contextmanager
def aiohttp(answers: Path, *, path: str = "/queue") -> Iterator[Server]:
    """The baseline: an aiohttp server that gives the answers in a folder (see ``aiohttp_baseline.py``)."""
    port = free_port()
    argv = [sys.executable, str(HERE / "aiohttp_baseline.py"), str(port), str(answers)]
    with started(argv, port, path=path) as server:
        yield server


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, path: str) -> None:
    deadline = time.perf_counter() + START_S
    while process.poll() is None and time.perf_counter() < deadline:
        try:
            Server(port, psutil.Process(process.pid), 0.0).call("GET", path)
        except (OSError, http.client.HTTPException, RuntimeError):
            time.sleep(POLL_S)
        else:
            return
    raise RuntimeError(f"the server did not answer on port {port} (exit code {process.poll()})")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
