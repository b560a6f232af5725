"""Nodes that do next to nothing, so that what is measured is what stands around them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

from comfykernel_sdk.context import NodeContext, Preview
from comfykernel_sdk.graph import Expansion, GraphBuilder
from comfykernel_sdk.hooks import hookimpl
from comfykernel_sdk.nodes import NodePack, Result, node
from comfykernel_sdk.sockets import Float, Int, Out

if TYPE_CHECKING:
    from comfykernel_sdk.hooks import RegisterNodes


@node("BenchmarkStep", category="benchmark")
def step(value: Annotated[int, Int(default=0)]) -> Annotated[int, Int()]:
    """Add one."""
    return value + 1


@node("BenchmarkShow", category="benchmark", output_node=True)
def show(value: Annotated[int, Int(default=0)]) -> Result[None]:
    """Show a number."""
    return Result(ui={"text": [str(value)]})


@node("BenchmarkWait", category="benchmark", output_node=True, volatile=True)
def wait(seconds: Annotated[float, Float(default=0.0, min=0.0, max=3600.0)], context: NodeContext) -> Result[None]:
    """Keep the worker busy until the time is over or the prompt is cancelled."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        context.check_cancelled()
        time.sleep(0.01)
    return Result(ui={})


@node("BenchmarkPreview", category="benchmark", output_node=True, volatile=True)
def preview(
    count: Annotated[int, Int(default=1, min=1, max=10_000)],
    size: Annotated[int, Int(default=20_000, min=1, max=10_000_000)],
    pause: Annotated[float, Float(default=0.01, min=0.0, max=1.0)],
    context: NodeContext,
) -> Result[None]:
    """Send previews of so many bytes, with a pause of seconds after each."""
    picture = bytes(range(256)) * (size // 256 + 1)
    for step in range(count):
        context.progress(step + 1, count, preview=Preview(picture[:size], "JPEG"))
        time.sleep(pause)
    return Result(ui={})


@node("BenchmarkAdd", category="benchmark")
def add(a: Annotated[int, Int(default=0)], b: Annotated[int, Int(default=0)]) -> int:
    """Add two numbers."""
    return a + b


@node("BenchmarkItems", category="benchmark")
def items(
    count: Annotated[int, Int(default=1, max=100_000)], start: Annotated[int, Int(default=0)]
) -> Annotated[list[int], Out(is_list=True)]:
    """A list of numbers."""
    return list(range(start, start + count))


@node("BenchmarkTotal", category="benchmark", input_is_list=True)
def total(values: list[int]) -> int:
    """Add up a list."""
    return sum(values)


@node("BenchmarkExpand", category="benchmark")
def expand(
    value: Annotated[int, Int(default=0)], count: Annotated[int, Int(default=1, min=1, max=100_000)]
) -> int | Expansion:
    """A chain of so many steps."""
    builder = GraphBuilder()
    last = builder.node("BenchmarkStep", value=value)
    for _ in range(count - 1):
        last = builder.node("BenchmarkStep", value=last.out(0))
    return Expansion(builder.finalize(), (last.out(0),))


@hookimpl
def register_nodes(register: RegisterNodes) -> None:
    """Give the pack ``benchmark``."""
    register(NodePack("benchmark", [step, show, wait, preview, add, items, total, expand]))
