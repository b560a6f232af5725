"""CPU of the server process for one request on the hot routes, user and system time together.

The server runs with two transports on one kernel: its own and one written in aiohttp (see
``plugins/comfykernel_benchmark_transport.py``); the answers are compared first. For scale, a bare aiohttp server gives
the same answers from memory without any kernel behind it. The client is a process of its own with kept connections.
Prompts are posted while a job keeps the worker busy: what is measured is submission (validation, the durable queue,
the answer), not execution.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from figures import Figure, show
from serving import HERE, Server, aiohttp, comfykernel, free_port

if TYPE_CHECKING:
    from collections.abc import Iterable

ROUNDS = 15
CONNECTIONS = 4
HISTORY = 20


class Route(NamedTuple):
    method: str
    path: str
    requests: int
    body: str = ""
    header: str = ""
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or f"{self.method} {self.path.partition('?')[0]}"


def prompt(value: int) -> dict[str, object]:
    """A prompt of the size of a small real one."""
    image = {"width": 256, "height": 256, "batch_size": 1, "color": value}
    graph: dict[str, object] = {"0": {"class_type": "EmptyImage", "inputs": image}}
    for number in range(1, 8):
        graph[str(number)] = {"class_type": "ImageInvert", "inputs": {"image": [str(number - 1), 0]}}
    graph["9"] = {"class_type": "SaveImage", "inputs": {"images": ["7", 0], "filename_prefix": "benchmark"}}
    return graph


def cpu_us(server: Server, port: int, route: Route) -> float:
    """Microseconds of CPU for one request of a volley."""
    argv = [sys.executable, str(HERE / "http_load.py"), str(port), route.method, route.path]
    argv += [str(route.requests), str(CONNECTIONS), route.body or "-", route.header]
    before = server.cpu_seconds()
    subprocess.run(argv, check=True)
    return (server.cpu_seconds() - before) / route.requests * 1e6


def routes(base: Path, view: str) -> list[Route]:
    body = base / "prompt.json"
    body.write_text(json.dumps({"prompt": prompt(0), "client_id": "benchmark", "extra_data": {}}))
    return [
        Route("GET", "/queue", 1000),
        Route("GET", "/prompt", 1000),
        Route("GET", "/history?max_items=10", 600),
        Route("GET", "/object_info", 400),
        Route("GET", view, 400),
        Route("POST", "/prompt", 200, str(body)),
    ]


def fill_history(server: Server) -> str:
    """Run some prompts; returns the path of a picture."""
    for number in range(HISTORY):
        entry = server.wait_for(server.post(prompt(number)))
    outputs = entry["outputs"]
    if not isinstance(outputs, dict) or not outputs:
        raise RuntimeError(str(entry["status"])[:2000])
    picture = outputs["9"]["images"][0]
    return f"/view?filename={picture['filename']}&type={picture['type']}&subfolder={picture['subfolder']}"


def same_answers(ours: Server, theirs: Server, routes: Iterable[Route], folder: Path) -> None:
    """Check that both transports say the same, and keep the answers for the bare server."""
    known = []
    for number, route in enumerate(routes):
        if route.method == "POST":
            answer = b'{"prompt_id":"8e5f3c5e-7f5e-4b0e-9d5b-6b7a0f0f0f0f","number":1,"node_errors":{}}'
        else:
            answer = ours.call(route.method, route.path)
            other = theirs.call(route.method, route.path)
            if answer != other and json.loads(answer) != json.loads(other):
                raise RuntimeError(f"{route.name}: {answer[:500]!r} is not {other[:500]!r}")
        kind = "image/png" if route.path.startswith("/view") else "application/json"
        (folder / f"{number}").write_bytes(answer)
        path = route.path.partition("?")[0]
        known.append({"method": route.method, "path": path, "body": f"{number}", "type": kind})
    (folder / "routes.json").write_text(json.dumps(known))


def measure(server: Server, port: int, bare: Server, route: Route) -> tuple[float, float, float]:
    """Ours, aiohttp over the same kernel, bare aiohttp: medians of rounds that take turns."""
    ours: list[float] = []
    same: list[float] = []
    alone: list[float] = []
    for _ in range(ROUNDS):
        for values, target, at in ((ours, server, server.port), (same, server, port), (alone, bare, bare.port)):
            if route.method == "POST":
                server.call("POST", "/queue", {"clear": True})
            values.append(cpu_us(target, at, route))
    return statistics.median(ours), statistics.median(same), statistics.median(alone)


def main() -> None:
    port = free_port()
    os.environ["BENCHMARK_AIOHTTP_PORT"] = str(port)
    flags = ("--transport", "http,benchmark-aiohttp")
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        with comfykernel(base, path="/object_info", flags=flags) as server:
            measured = routes(base, fill_history(server))
            same_answers(server, Server(port, server.process, 0.0), measured, base)
            table, for_scale = [], []
            with aiohttp(base) as bare:
                for route in measured:
                    if route.method == "POST":
                        server.post({"1": {"class_type": "BenchmarkWait", "inputs": {"seconds": 3600}}})
                    ours, same, alone = measure(server, port, bare, route)
                    table.append(Figure(route.name, ours, "µs", same, bound=0.8, of_ratio=True))
                    for_scale.append(Figure(route.name, ours, "µs", alone))
            server.call("POST", "/queue", {"clear": True})
            server.call("POST", "/interrupt", {})
    show(table, baseline="aiohttp on the same kernel")
    print()
    show(for_scale, baseline="aiohttp with nothing behind it")


if __name__ == "__main__":
    main()
