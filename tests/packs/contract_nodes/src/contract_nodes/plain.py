"""Nodes that pass a text on, late or not at all."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.nodes import Result, node
from comfykernel_sdk.sockets import Choice, Float, Text

from .texts import CATEGORY, LinkedText, String, Value

Seconds = Annotated[float, Float(default=0.5, min=0.0, max=60.0, step=0.05)]
POLL_S = 0.02


@node("ContractEcho", category=CATEGORY, display_name="ContractEcho", description="")
def echo(value: Value) -> String:
    """Pass the value on."""
    return value


@node("ContractOutput", category=CATEGORY, display_name="ContractOutput", description="", output_node=True)
def output(value: LinkedText) -> Result[String]:
    """Show the value."""
    return Result(value, ui={"text": [value]})


@node("ContractSleep", category=CATEGORY, display_name="ContractSleep", description="")
def sleep(value: Value, seconds: Seconds, context: NodeContext) -> String:
    """Pass the value on after a while; stops when the prompt is interrupted."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        context.check_cancelled()
        time.sleep(POLL_S)
    return value


@node("ContractAsync", category=CATEGORY, display_name="ContractAsync", description="")
async def sleep_async(value: Value, seconds: Seconds) -> String:
    """Pass the value on after a while and let others run meanwhile."""
    await asyncio.sleep(seconds)
    return value


@node("ContractFail", category=CATEGORY, display_name="ContractFail", description="")
def fail(value: Value, message: Annotated[str, Text(default="failed")]) -> String:
    """Fail with the message."""
    raise ValueError(message)


@node("ContractCounter", category=CATEGORY, display_name="ContractCounter", description="", output_node=True)
class Counter:
    """Counts how often this instance ran."""

    def __init__(self) -> None:
        self.count = 0

    @staticmethod
    def fingerprint(value: str) -> float:
        """Run at every prompt."""
        return float("nan")

    def run(self, value: Value) -> Result[String]:
        """Count and show."""
        self.count += 1
        return Result(str(self.count), ui={"count": [self.count]})


@node("ContractChanged", category=CATEGORY, display_name="ContractChanged", description="")
class Changed:
    """Has a change check of every kind."""

    @staticmethod
    def fingerprint(value: str, mode: str) -> float | str:
        """NaN, a constant, or an error."""
        if mode == "raise":
            raise RuntimeError("no fingerprint")
        return float("nan") if mode == "always" else "same"

    def run(self, value: Value, mode: Annotated[str, Choice("always", "never", "raise", bare=True)]) -> String:
        """Pass the value on."""
        return value
