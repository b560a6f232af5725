"""Resident memory of the server process (not its worker) when it idles, and after a hundred prompts."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from figures import Figure, show
from serving import aiohttp, comfykernel, only_queue

if TYPE_CHECKING:
    from serving import Server

SETTLE_S = 3.0
PROMPTS = 100
MIB = 1024 * 1024


def resident(server: Server) -> float:
    time.sleep(SETTLE_S)
    return float(server.process.memory_info().rss / MIB)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        with aiohttp(only_queue(base)) as server:
            bare = resident(server)
        with comfykernel(base, path="/object_info") as server:
            cold = resident(server)
        with comfykernel(base, path="/object_info") as server:
            warm = resident(server)
            for number in range(PROMPTS):
                prompt_id = server.post({"1": {"class_type": "BenchmarkShow", "inputs": {"value": number}}})
            server.wait_for(prompt_id)
            used = resident(server)
    show(
        [
            Figure("idle, catalog from disk", warm, "MiB", bare, bound=120.0),
            Figure("idle, first start", cold, "MiB", bare, bound=120.0),
            Figure(f"after {PROMPTS} prompts", used, "MiB", bare, bound=120.0),
        ],
        baseline="a bare aiohttp server",
    )


if __name__ == "__main__":
    main()
