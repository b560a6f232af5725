"""Requests that are large: 1,000 jobs that wait, 1,000 that have ended, pictures of 1 MB; how long the loop is busy.

CPU of the server process for one request, against the same routes written in aiohttp on the same kernel (see
``http_cpu.py``). Then the longest time that the event loop was busy in one go (see
``plugins/comfykernel_benchmark_loop.py``) while one client asks again and again.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from figures import Figure, show
from http_cpu import Route, cpu_us, prompt
from PIL import Image
from serving import HERE, Server, comfykernel, free_port

ROUNDS = 5
JOBS = 1000
LOOP_REQUESTS = 50
LOOP_BOUND_MS = 5.0


def picture(base: Path) -> str:
    """A PNG of about 1 MB in the folder of results; returns its address."""
    folder = base / "output"
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (512, 680, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "large.png")
    return "/view?filename=large.png&type=output&subfolder="


def fill_history(server: Server) -> None:
    """1,000 jobs that have ended."""
    for number in range(JOBS - 1):
        server.post({"1": {"class_type": "BenchmarkShow", "inputs": {"value": number}}})
    server.wait_for(server.post({"1": {"class_type": "BenchmarkShow", "inputs": {"value": JOBS}}}), poll_s=0.2)


def fill_queue(server: Server) -> None:
    """One job that runs and 1,000 that wait."""
    server.post({"1": {"class_type": "BenchmarkWait", "inputs": {"seconds": 3600}}})
    for number in range(JOBS):
        server.post(prompt(number))


def routes(server: Server, view: str, base: Path) -> list[Route]:
    tag = server.header("/object_info", "ETag")
    body = base / "prompt.json"
    body.write_text(json.dumps({"prompt": prompt(0), "client_id": "benchmark", "extra_data": {}}))
    return [
        Route("GET", "/object_info", 200),
        Route("GET", "/object_info", 400, header=f"If-None-Match: {tag}", label="GET /object_info (304)"),
        Route("GET", "/history", 20, label=f"GET /history ({JOBS:,} entries)"),
        Route("GET", "/queue", 40, label=f"GET /queue ({JOBS:,} waiting)"),
        Route("GET", view, 200, label="GET /view (a PNG of 1 MB)"),
        Route("GET", f"{view}&preview=webp;90", 12, label="GET /view (its webp preview)"),
        Route("POST", "/prompt", 100, str(body), label=f"POST /prompt ({JOBS:,} waiting)"),
    ]


def same(ours: Server, theirs: Server, route: Route) -> None:
    """Both say the same: JSON of equal content, a picture of equal bytes (encoders may differ in previews)."""
    if route.method == "POST" or "preview=" in route.path:
        return
    answer, other = ours.call("GET", route.path), theirs.call("GET", route.path)
    if answer != other and json.loads(answer) != json.loads(other):
        raise RuntimeError(f"{route.name}: {answer[:500]!r} is not {other[:500]!r}")


def loop_ms(server: Server, route: Route) -> tuple[float, float]:
    """Longest time that the loop was busy in one go while one client asks: of a processor, and passed."""
    argv = [sys.executable, str(HERE / "http_load.py"), str(server.port), route.method, route.path]
    argv += [str(min(LOOP_REQUESTS, route.requests)), "1", route.body or "-", route.header]
    server.call("GET", "/benchmark/loop")
    subprocess.run(argv, check=True)
    found = json.loads(server.call("GET", "/benchmark/loop"))
    return float(found["cpu_ms"]), float(found["wall_ms"])


def main() -> None:
    port = free_port()
    os.environ["BENCHMARK_AIOHTTP_PORT"] = str(port)
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        view = picture(base)
        with comfykernel(base, path="/object_info", flags=("--transport", "http,benchmark-aiohttp")) as server:
            theirs = Server(port, server.process, 0.0)
            fill_history(server)
            fill_queue(server)
            table, blocks = [], []
            for route in routes(server, view, base):
                same(server, theirs, route)
                plain = route._replace(header="")
                measured = [(cpu_us(server, server.port, route), cpu_us(server, port, plain)) for _ in range(ROUNDS)]
                ours, baseline = (statistics.median(values) for values in zip(*measured, strict=True))
                table.append(Figure(route.name, ours, "µs", baseline, bound=0.8, of_ratio=True))
                busy = [loop_ms(server, route) for _ in range(ROUNDS)]
                cpu, wall = (statistics.median(values) for values in zip(*busy, strict=True))
                blocks.append(Figure(route.name, cpu, "ms", wall, bound=LOOP_BOUND_MS))
            server.call("POST", "/queue", {"clear": True})
            server.call("POST", "/interrupt", {})
    show(table, baseline="aiohttp on the same kernel")
    print()
    show(blocks, baseline="time that passed meanwhile")


if __name__ == "__main__":
    main()
