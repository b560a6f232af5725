"""What it costs to turn a document of the web editor into a prompt: milliseconds, and whether they grow with the nodes.

Processor time, median of several rounds. The baseline of each drawing of 10,000 nodes is ten of 1,000: a ratio near 1
says that the cost of a node does not depend on how many there are.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

from figures import Figure, show

from comfykernel_sdk.nodes import InputSpec, NodeSpec
from comfykernel_ui_workflows.reader import EditorReader

ROUNDS = 5
SMALL, LARGE = 1_000, 10_000
BOUND_RATIO = 2.0

IMAGE = InputSpec(name="image", type="IMAGE")
SPECS = {
    "Turn": NodeSpec(id="Turn", inputs=[IMAGE]),
    "Sample": NodeSpec(
        id="Sample",
        inputs=[
            InputSpec(name="seed", type="INT", options={"default": 0}),
            *(InputSpec(name=f"value{n}", type="FLOAT", options={"default": 1.0}) for n in range(5)),
        ],
    ),
}


def node(id: int, type: str = "Turn", *, origin: int | None = None, **more: Any) -> dict[str, Any]:
    slots = [{"name": "image", "type": "IMAGE", "link": id}] if origin is not None else []
    return {"id": id, "type": type, "pos": [0, 0], "mode": 0, "inputs": slots, "outputs": [{"type": "IMAGE"}], **more}


def links(nodes: list[dict[str, Any]], origins: dict[int, int]) -> dict[str, Any]:
    return {"nodes": nodes, "links": [[id, origin, 0, id, 0, "IMAGE"] for id, origin in origins.items()]}


def chain(count: int, **more: Any) -> dict[str, Any]:
    """Each node feeds the next."""
    nodes = [node(0), *(node(id, origin=id - 1, **more) for id in range(1, count))]
    return links(nodes, {id: id - 1 for id in range(1, count)})


def bypassed_fan(count: int) -> dict[str, Any]:
    """Half of the nodes are a chain of bypassed ones; each of the others hangs at another place of it."""
    half = count // 2
    nodes = [node(0), *(node(id, origin=id - 1, mode=4) for id in range(1, half))]
    nodes += [node(id, origin=id - half) for id in range(half, count)]
    return links(nodes, {id: id - 1 if id < half else id - half for id in range(1, count)})


def widgets(count: int) -> dict[str, Any]:
    """Nodes with a seed, its control and five values by position."""
    return links([node(id, "Sample", widgets_values=[id, "fixed", 1, 2, 3, 4, 5]) for id in range(count)], {})


def subgraphs(count: int) -> dict[str, Any]:
    """Instances of one definition of ten nodes."""
    definition = {**chain(9), "id": "ten", "name": "ten", "inputs": [], "outputs": []}
    return {**links([node(id, "ten") for id in range(count // 10)], {}), "definitions": {"subgraphs": [definition]}}


def milliseconds(document: dict[str, Any]) -> float:
    reader, spent = EditorReader(), []
    for _ in range(ROUNDS):
        begun = time.process_time()
        reader.convert(document, SPECS)
        spent.append((time.process_time() - begun) * 1000)
    return statistics.median(spent)


DRAWINGS: dict[str, Callable[[int], dict[str, Any]]] = {
    "a chain": chain,
    "a chain of bypassed nodes": lambda count: chain(count, mode=4),
    "half bypassed, the others hang at it": bypassed_fan,
    "widget values by position": widgets,
    "instances of a subgraph of ten": subgraphs,
}


def main() -> None:
    figures = [
        Figure(f"{LARGE:,} nodes: {what}", milliseconds(draw(LARGE)), "ms", LARGE / SMALL * milliseconds(draw(SMALL)),
               bound=BOUND_RATIO, of_ratio=True)
        for what, draw in DRAWINGS.items()
    ]  # fmt: skip
    show(figures, baseline=f"{LARGE // SMALL} times {SMALL:,} nodes")


if __name__ == "__main__":
    main()
