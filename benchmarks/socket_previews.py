"""100 open WebSockets that all follow one job with previews: CPU of the server process for each step and socket.

A step is three messages: its progress, the state of its node, the preview. The prompt has no client: then everybody
follows it. Baseline: a WebSocket handler written in aiohttp on the same kernel that sends the same. Both are measured
from the first preview to the last, with the same pace.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from figures import Figure, show
from serving import HERE, Server, comfykernel, free_port

ROUNDS = 5
SOCKETS = 100
PREVIEWS = 100
BYTES = 20_000
PAUSE_S = 0.02


def volley(server: Server, port: int, sockets: int) -> tuple[float, int, float]:
    """CPU in seconds, messages that came, longest time between two on one socket in ms."""
    argv = [sys.executable, str(HERE / "socket_load.py"), str(port), str(sockets), str(PREVIEWS)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as clients:
        assert clients.stdout is not None
        if clients.stdout.readline().strip() != "ready":
            raise RuntimeError("the clients could not connect")
        before = server.cpu_seconds()
        inputs = {"count": PREVIEWS, "size": BYTES, "pause": PAUSE_S}
        server.wait_for(server.post({"1": {"class_type": "BenchmarkPreview", "inputs": inputs}}), poll_s=0.2)
        count, longest = clients.stdout.readline().split()
        return server.cpu_seconds() - before, int(count), float(longest)


def main() -> None:
    port = free_port()
    os.environ["BENCHMARK_AIOHTTP_PORT"] = str(port)
    flags = ("--transport", "http,benchmark-aiohttp")
    with tempfile.TemporaryDirectory() as folder, comfykernel(Path(folder), path="/object_info", flags=flags) as server:
        server.wait_for(server.post({"1": {"class_type": "BenchmarkShow", "inputs": {"value": 1}}}))
        ours, theirs, gaps, loops, lost = [], [], [], [], 0
        for _ in range(ROUNDS):
            server.call("GET", "/benchmark/loop")
            cpu, count, gap = volley(server, server.port, SOCKETS)
            loops.append(float(json.loads(server.call("GET", "/benchmark/loop"))["cpu_ms"]))
            ours.append(cpu / count * 1e6)
            gaps.append(gap)
            lost += SOCKETS * PREVIEWS - count
            cpu, count, _ = volley(server, port, SOCKETS)
            theirs.append(cpu / count * 1e6)
    median = statistics.median
    what = f"a step with a preview of {BYTES // 1000} kB, to one of {SOCKETS} sockets"
    show(
        [
            Figure(what, median(ours), "µs", median(theirs), bound=0.8, of_ratio=True),
            Figure("longest time between two previews on a socket", median(gaps), "ms"),
            Figure("longest time that the loop was busy in one go", median(loops), "ms"),
            Figure("previews that did not come", lost, ""),
        ],
        baseline="aiohttp on the same kernel",
    )


if __name__ == "__main__":
    main()
