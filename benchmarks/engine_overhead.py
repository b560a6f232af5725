"""What the kernel adds to nodes that do nothing: microseconds a node in the engine, milliseconds to check a prompt.

A chain of 1,000 trivial nodes runs in this process, against calling their function in a loop, with cold cache, warm
cache, and the events packed as a worker does. What prompts take from POST to their end ``prompt_speed.py`` measures.
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

from comfykernel.engine import engine_of
from comfykernel.plugin_host import PluginHost
from comfykernel.validation import validate_prompt
from comfykernel_sdk.channel import Said, encode_frame
from comfykernel_sdk.scheduler import Assignment
from comfykernel_sdk.settings import PathSettings, Settings
from comfykernel_sdk.testing import MemoryStorage

if TYPE_CHECKING:
    from collections.abc import Callable

    from comfykernel.engine import Engine
    from comfykernel_sdk.events import Event
    from comfykernel_sdk.graph import Graph
    from comfykernel_sdk.scheduler import ValidationAnswer, ValidationQuestion

NODES = 1000
ROUNDS = 7
CHECKED = (1_000, 10_000)
BOUND_US = 50.0
VALIDATION_BOUND_MS = 100.0


def chain(start: int, length: int = NODES) -> Graph:
    graph: Graph = {"0": {"class_type": "BenchmarkStep", "inputs": {"value": start}}}
    for number in range(1, length):
        graph[str(number)] = {"class_type": "BenchmarkStep", "inputs": {"value": [str(number - 1), 0]}}
    graph["show"] = {"class_type": "BenchmarkShow", "inputs": {"value": [str(length - 1), 0]}}
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


async def validation_ms(length: int) -> float:
    """Check a chain as the server does before it answers POST /prompt; the best of several."""
    specs = engine_of([step, show_number], settings=Settings(), storage=MemoryStorage()).catalog.nodes

    async def nobody(questions: list[ValidationQuestion]) -> list[ValidationAnswer]:
        raise RuntimeError("no node here has a validator")

    times = []
    for number in range(ROUNDS):
        graph = chain(number, length)
        begun = time.perf_counter()
        await validate_prompt(graph, specs, lambda _: None, nobody)
        times.append((time.perf_counter() - begun) * 1e3)
    return min(times)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(in_the_engine(Path(folder)))
    show(figures, baseline="calls in a loop")
    bounds = {10_000: VALIDATION_BOUND_MS}
    checks = [
        Figure(f"validation of {n:,} nodes", asyncio.run(validation_ms(n)), "ms", bound=bounds.get(n)) for n in CHECKED
    ]
    print()
    show(checks, baseline="none")


if __name__ == "__main__":
    main()
