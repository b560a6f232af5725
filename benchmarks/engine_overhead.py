"""What the kernel adds to nodes that do nothing: microseconds a node in the engine, and chains from POST to history.

The first part runs a chain of 1,000 trivial nodes in this process, against calling their function in a loop, with
cold cache, warm cache, and the events packed as a worker does. The second part sends chains of ImageInvert over a
64 x 64 image to a server and polls its history, against inverting the same image in a loop.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parent / "plugins"))
os.environ.setdefault("OMP_NUM_THREADS", "1")

from comfykernel_benchmark_nodes import show as show_number
from comfykernel_benchmark_nodes import step
from figures import Figure, show
from serving import comfykernel

from comfykernel.engine import engine_of
from comfykernel.plugin_host import PluginHost
from comfykernel_sdk.channel import Said, encode_frame
from comfykernel_sdk.scheduler import Assignment
from comfykernel_sdk.settings import PathSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving import Server

    from comfykernel.engine import Engine
    from comfykernel_sdk.events import Event
    from comfykernel_sdk.graph import Graph

NODES = 1000
ROUNDS = 7
CHAINS = (100, 500, 1000)
BOUND_US = 50.0


def chain(start: int) -> Graph:
    graph: Graph = {"0": {"class_type": "BenchmarkStep", "inputs": {"value": start}}}
    for number in range(1, NODES):
        graph[str(number)] = {"class_type": "BenchmarkStep", "inputs": {"value": [str(number - 1), 0]}}
    graph["show"] = {"class_type": "BenchmarkShow", "inputs": {"value": [str(NODES - 1), 0]}}
    return graph


def bare_us() -> float:
    begun = time.perf_counter()
    value = 0
    for _ in range(NODES):
        value = step(value)
    return (time.perf_counter() - begun) / NODES * 1e6


async def engine_us(engine: Engine, graph: Graph, emit: Callable[[Event], None]) -> float:
    assignment = Assignment(prompt_id="p", graph=graph, outputs_to_execute=["show"])
    begun = time.perf_counter()
    outcome = await engine.run(assignment, emit)
    seconds = time.perf_counter() - begun
    if outcome.status != "done":
        raise RuntimeError(outcome.reason)
    return seconds / NODES * 1e6


def pack(event: Event) -> None:
    encode_frame(Said([event]))


async def in_the_engine(base: Path) -> list[Figure]:
    settings = Settings(paths=PathSettings(base=str(base)))
    host = PluginHost(settings, side="worker", environ={"COMFYKERNEL_LOAD_PLUGINS": ""})
    host.load()
    engine = engine_of([step, show_number], settings=settings, storage=host.make_storage())
    cold, warm, packed, bare = [], [], [], []
    for number in range(ROUNDS):
        graph = chain(number)
        cold.append(await engine_us(engine, graph, lambda _: None))
        warm.append(await engine_us(engine, graph, lambda _: None))
        packed.append(await engine_us(engine, chain(-1 - number), pack))
        bare.append(bare_us())
    baseline = statistics.median(bare)
    return [
        Figure(f"a node of {NODES}, nothing cached", statistics.median(cold), "µs", baseline, bound=BOUND_US),
        Figure("the same, events packed", statistics.median(packed), "µs", baseline, bound=BOUND_US),
        Figure("the same, everything cached", statistics.median(warm), "µs", baseline, bound=BOUND_US),
    ]


def inverts(length: int, colour: int) -> Graph:
    image = {"width": 64, "height": 64, "batch_size": 1, "color": colour}
    graph: Graph = {"0": {"class_type": "EmptyImage", "inputs": {**image}}}
    for number in range(1, length + 1):
        graph[str(number)] = {"class_type": "ImageInvert", "inputs": {"image": [str(number - 1), 0]}}
    graph["save"] = {"class_type": "PreviewImage", "inputs": {"images": [str(length), 0]}}
    return graph


def post_to_history_ms(server: Server, length: int) -> float:
    times = []
    for _ in range(3):
        graph = inverts(length, time.time_ns() % 0xFFFFFF)
        begun = time.perf_counter()
        entry = server.wait_for(server.post({**graph}))
        times.append((time.perf_counter() - begun) * 1e3)
        if not entry["outputs"]:
            raise RuntimeError(str(entry["status"])[:2000])
    return statistics.median(times)


def bare_inverts_ms(length: int) -> float:
    import torch

    image = torch.zeros(1, 64, 64, 3)
    begun = time.perf_counter()
    for _ in range(length):
        image = 1.0 - image
    return (time.perf_counter() - begun) * 1e3


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(in_the_engine(Path(folder)))
        show(figures, baseline="calls in a loop")
        with comfykernel(Path(folder), path="/object_info") as server:
            server.wait_for(server.post({**inverts(1, 1)}))
            chains = [
                Figure(f"{n} ImageInvert, POST to history", post_to_history_ms(server, n), "ms", bare_inverts_ms(n))
                for n in CHAINS
            ]
        print()
        show(chains, baseline="inverting in a loop")


if __name__ == "__main__":
    main()
