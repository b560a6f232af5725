"""The nodes that the conformance kit of schedulers needs, for a real engine."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Annotated

from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.hooks import hookimpl
from comfykernel_sdk.nodes import NodePack, Result, node
from comfykernel_sdk.sockets import Float, Text

if TYPE_CHECKING:
    from comfykernel_sdk.hooks import RegisterNodes


def says_what_is_bad(text: str) -> bool | str:
    return "bad text" if text == "bad" else True


@node("ConformanceEcho", category="test", output_node=True, validate=says_what_is_bad)
def echo(text: Annotated[str, Text()]) -> Result[None]:
    """Show a text."""
    return Result(ui={"text": [text]})


@node("ConformanceWait", category="test", output_node=True, volatile=True)
def wait(seconds: Annotated[float, Float(default=0.0)], context: NodeContext) -> Result[None]:
    """Wait, with a look at interrupts."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        context.check_cancelled()
        time.sleep(0.005)
    return Result()


@node("ConformanceWaitDeaf", category="test", output_node=True, volatile=True)
def wait_deaf(seconds: Annotated[float, Float(default=0.0)]) -> Result[None]:
    """Wait, whatever happens."""
    time.sleep(seconds)
    return Result()


@node("ConformanceDie", category="test", output_node=True, volatile=True)
def die() -> Result[None]:
    """Kill this process soon."""
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGKILL)
    return Result()


@hookimpl
def register_nodes(register: RegisterNodes) -> None:
    """Give the pack ``conformance``."""
    register(NodePack("conformance", [echo, wait, wait_deaf, die]))
