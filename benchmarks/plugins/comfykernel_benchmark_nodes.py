"""Nodes that do next to nothing, so that what is measured is what stands around them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.hooks import hookimpl
from comfykernel_sdk.nodes import NodePack, Result, node
from comfykernel_sdk.sockets import Float, Int

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


@hookimpl
def register_nodes(register: RegisterNodes) -> None:
    """Give the pack ``benchmark``."""
    register(NodePack("benchmark", [step, show, wait]))
