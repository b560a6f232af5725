"""A pack as test_typing.py shows it to type checkers and to clients."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict, TypeVar

from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.nodes import Result, node
from comfykernel_sdk.sockets import (
    Choice,
    Float,
    Growing,
    Image,
    Int,
    Latent,
    Mask,
    Out,
    Socket,
    Text,
    Toggle,
    UniqueId,
)

T = TypeVar("T")


@node("TypedWidgets", category="typed")
def widgets(
    count: Annotated[int, Int(default=3, min=0, max=9)],
    amount: Annotated[float, Float(default=0.5)],
    words: Annotated[str, Text(multiline=True)],
    on: Annotated[bool, Toggle(default=True)],
    mode: Literal["fast", "good"],
    tone: Annotated[Literal["calm", "loud"], Choice(default="loud")],
    bits: Literal[8, 16],
    plain: int,
    later: Annotated[int, Int(min=0)] = 1,
    title: str = "none",
) -> tuple[int, Annotated[str, Out("told")]]:
    """Every widget that Python has a type for."""
    return count, words


@node("TypedSockets", category="typed")
def sockets(
    image: Image,
    mask: Annotated[Mask, Socket("MASK", tooltip="Where.")],
    latent: Latent,
    id: UniqueId,
    context: NodeContext,
    other: Image | None = None,
) -> Image:
    """Values that come from other nodes, and what is no input at all."""
    return image if other is None else other


@node("TypedClass", category="typed")
class Chooser:
    """The class form: its method ``run`` is what clients see."""

    def run(self, first: Image, second: Image, use_first: bool) -> Image:
        """Choose."""
        return first if use_first else second


@node("TypedShow", category="typed", output_node=True)
async def show(text: str) -> Result[None]:
    """A node that shows something, as a coroutine."""
    return Result(ui={"text": [text]})


class ToSize(TypedDict):
    """One way to resize."""

    how: Literal["to size"]
    width: Annotated[int, Int(default=512, min=1)]


class ByFactor(TypedDict):
    """The other one."""

    how: Literal["by factor"]
    factor: float


@node("TypedBranches", category="typed")
def resize(image: Image, how: ToSize | ByFactor) -> Image:
    """A choice that brings its own inputs."""
    if how["how"] == "to size":
        return image[:, :, : how["width"]]
    return image * how["factor"]


@node("TypedGroups", category="typed")
def batch(
    images: Annotated[list[Image], Growing("image", min=2, max=4)],
    weights: Annotated[dict[str, float], Growing(names=("a", "b"), min=0)],
) -> Image:
    """Groups that grow."""
    return images[0] * sum(weights.values())


@node("TypedMatch", category="typed")
def either(use: bool, on_true: T, on_false: T) -> T:
    """Values of one type."""
    return on_true if use else on_false
