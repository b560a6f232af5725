"""Milliseconds from POST /prompt until a client that listens on the WebSocket hears that the prompt has ended.

``prompt_speed.py [--url URL] [--peer-url URL] [--longest N]``: without ``--url`` a server of its own is started, with
the benchmark's nodes. Chains and fans of image inverts run on every server that speaks the ComfyUI API, so a peer can
be measured beside it; lists and expansions need the benchmark's nodes. Each figure is the median of three prompts that
differ in a constant; ``cached`` is the third prompt sent again. While a long chain runs GET /queue is asked all the
time: the longest answer counts.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import statistics
import tempfile
import time
import urllib.request
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from figures import Figure, show
from serving import comfykernel
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

ROUNDS = 3
CHAINS = (10, 100, 250, 500, 1_000, 10_000)
BOUNDS_MS = {1_000: 150.0, 10_000: 2_000.0}
QUEUE_BOUND_MS = 20.0
PICTURES = 100
WIDE = (100, 1_000)
ITEMS = 1_000
PATIENCE_S = 300.0

Graph = dict[str, dict[str, Any]]


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def chain(length: int, colour: int) -> Graph:
    graph = {"0": node("EmptyImage", width=64, height=64, batch_size=1, color=colour)}
    for number in range(1, length + 1):
        graph[str(number)] = node("ImageInvert", image=[str(number - 1), 0])
    return {**graph, "show": node("PreviewImage", images=[str(length), 0])}


def pairs(level: list[str], join: Callable[[str, str], dict[str, Any]]) -> Graph:
    """Nodes that put others together two by two; the last one is ``top``."""
    graph: Graph = {}
    while len(level) > 1:
        made = {f"{len(graph) + n}&": join(*two) for n, two in enumerate(zip(level[::2], level[1::2], strict=False))}
        graph |= made
        level = [*made, *level[len(made) * 2 :]]
    graph["top"] = graph.pop(level[0])
    return graph


def pictures(width: int, colour: int) -> Graph:
    """Inverts of small images side by side, put together in one batch."""
    inverts = [f"i{number}" for number in range(width)]
    graph = {"0": node("EmptyImage", width=16, height=16, batch_size=1, color=colour)}
    graph |= {id: node("ImageInvert", image=["0", 0]) for id in inverts}
    graph |= pairs(inverts, lambda a, b: node("ImageBatch", image1=[a, 0], image2=[b, 0]))
    return {**graph, "show": node("PreviewImage", images=["top", 0])}


def sums(width: int, start: int) -> Graph:
    """Steps side by side, added up."""
    steps = [f"s{number}" for number in range(width)]
    graph = {id: node("BenchmarkStep", value=start + number) for number, id in enumerate(steps)}
    graph |= pairs(steps, lambda a, b: node("BenchmarkAdd", a=[a, 0], b=[b, 0]))
    return {**graph, "show": node("BenchmarkShow", value=["top", 0])}


def items(count: int, start: int) -> Graph:
    return {
        "items": node("BenchmarkItems", count=count, start=start),
        "step": node("BenchmarkStep", value=["items", 0]),
        "total": node("BenchmarkTotal", values=["step", 0]),
        "show": node("BenchmarkShow", value=["total", 0]),
    }


def expansion(count: int, start: int) -> Graph:
    return {
        "expand": node("BenchmarkExpand", count=count, value=start),
        "show": node("BenchmarkShow", value=["expand", 0]),
    }


class Client:
    """One server, with a WebSocket that reads everything."""

    def __init__(self, url: str, stack: contextlib.ExitStack) -> None:
        self.url = url.rstrip("/")
        self.id = uuid.uuid4().hex
        address = self.url.replace("http", "ws", 1) + f"/ws?clientId={self.id}"
        self._socket = stack.enter_context(connect(address, max_size=None, compression=None))

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def knows(self, *classes: str) -> bool:
        known = self.get("/object_info")
        return all(name in known for name in classes)

    def run_ms(self, graph: Graph) -> float:
        """Run a prompt to its end."""
        body = json.dumps({"prompt": graph, "client_id": self.id}).encode()
        request = urllib.request.Request(self.url + "/prompt", body, {"Content-Type": "application/json"})
        begun = time.perf_counter()
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            prompt_id = json.load(answer)["prompt_id"]
        while True:
            frame = self._socket.recv(timeout=PATIENCE_S)
            # A look at the beginning is enough: what is measured is the server, not this parser.
            if isinstance(frame, str) and frame.startswith(('{"type":"exec', '{"type": "exec')):
                data = json.loads(frame)["data"]
                if data.get("prompt_id") == prompt_id and data.get("node", "") is None:
                    break
        spent = (time.perf_counter() - begun) * 1e3
        entry = self.get(f"/history/{prompt_id}")[prompt_id]
        if not entry["outputs"]:
            raise RuntimeError(json.dumps(entry["status"])[:2000])
        return spent

    def measure(self, make: Callable[[int], Graph]) -> tuple[float, float]:
        """A new prompt, and one that ran before."""
        times = []
        for _ in range(ROUNDS):
            graph = make(time.time_ns() % 0xFFFFFF)
            times.append(self.run_ms(graph))
        return statistics.median(times), self.run_ms(graph)


def ask_for_the_queue(url: str, times: Connection) -> None:
    """Sends how long each answer to GET /queue took, in milliseconds, until the other side closes."""
    while True:
        begun = time.perf_counter()
        with urllib.request.urlopen(url + "/queue", timeout=PATIENCE_S) as answer:
            answer.read()
        try:
            times.send((time.perf_counter() - begun) * 1e3)
        except OSError:
            return
        time.sleep(0.01)


def queue_times(client: Client, graph: Graph) -> list[float]:
    """How long answers to GET /queue take while a prompt runs. They are asked for by a process of their own."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe(duplex=False)
    process = spawn.Process(target=ask_for_the_queue, args=(client.url, theirs))
    process.start()
    theirs.close()
    ours.recv()
    client.run_ms(graph)
    times: list[float] = []
    while ours.poll():
        times.append(ours.recv())
    ours.close()
    process.join()
    return times


def figures_of(client: Client, peer: Client | None, longest: int) -> list[Figure]:
    measured: list[Figure] = []

    def add(what: str, make: Callable[[int], Graph], *needs: str, bound: float | None = None) -> None:
        if not client.knows(*needs):
            return
        first, again = client.measure(make)
        other: tuple[float, float] | tuple[None, None] = (None, None)
        if peer is not None and peer.knows(*needs):
            other = peer.measure(make)
        measured.append(Figure(what, first, "ms", other[0], bound=bound))
        measured.append(Figure(f"{what}, cached", again, "ms", other[1]))

    for length in (each for each in CHAINS if each <= longest):
        add(f"chain of {length:,}", lambda c, n=length: chain(n, c), "EmptyImage", bound=BOUNDS_MS.get(length))  # type: ignore[misc]
    add(f"{PICTURES} images side by side", lambda c: pictures(PICTURES, c), "ImageBatch")
    for width in WIDE:
        add(f"{width:,} numbers side by side", lambda c, n=width: sums(n, c), "BenchmarkAdd")  # type: ignore[misc]
    add(f"a list of {ITEMS:,}", lambda c: items(ITEMS, c), "BenchmarkItems")
    add(f"an expansion into {ITEMS:,}", lambda c: expansion(ITEMS, c), "BenchmarkExpand")
    times = queue_times(client, chain(longest, time.time_ns() % 0xFFFFFF))
    what = f"GET /queue while a chain of {longest:,} runs"
    measured.append(Figure(f"{what}, median", statistics.median(times), "ms"))
    measured.append(Figure(f"{what}, longest", max(times), "ms", bound=QUEUE_BOUND_MS))
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a server that runs already")
    parser.add_argument("--peer-url", help="another server to measure beside it")
    parser.add_argument("--longest", type=int, default=max(CHAINS), help="nodes of the longest chain")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        url = args.url
        if url is None:
            base = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            url = f"http://127.0.0.1:{stack.enter_context(comfykernel(base, path='/object_info')).port}"
        peer = Client(args.peer_url, stack) if args.peer_url else None
        client = Client(url, stack)
        client.run_ms(chain(1, 0))
        show(figures_of(client, peer, args.longest), baseline=args.peer_url or "none")


if __name__ == "__main__":
    main()
