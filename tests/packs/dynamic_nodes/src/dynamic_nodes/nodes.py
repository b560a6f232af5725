"""Nodes with every kind of input that depends on others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, NotRequired, TypeAlias, TypedDict, TypeVar

from comfykernel_sdk.nodes import Result, node
from comfykernel_sdk.sockets import AnyValue, Choice, Growing, Int, Out, Socket, Text

CATEGORY = "dynamic"
T = TypeVar("T")


@dataclass(frozen=True)
class Card:
    """What goes from node to node: a text on a card."""

    text: str


@dataclass(frozen=True)
class Stamp:
    """Another thing that goes from node to node."""

    text: str


CardSocket: TypeAlias = Annotated[Card, Socket("DYNAMIC_CARD")]
StampSocket: TypeAlias = Annotated[Stamp, Socket("DYNAMIC_STAMP")]
Thing = TypeVar("Thing", CardSocket, StampSocket)


class Never(TypedDict):
    """Leave it as it is."""

    how: Literal["never"]


class ToSize(TypedDict):
    """A size in letters."""

    how: Literal["to size"]
    width: Annotated[int, Int(default=8, min=1, max=64, tooltip="Letters.")]
    fill: NotRequired[str]


class ByFactor(TypedDict):
    """A multiple of what it was."""

    how: Literal["by factor"]
    factor: float


class LikeOthers(TypedDict):
    """As long as the longest of others."""

    how: Literal["like others"]
    others: Annotated[dict[str, CardSocket], Growing("other", min=1, max=3)]


@node("DynamicCard", category=CATEGORY)
def card(text: Annotated[str, Text(default="")]) -> CardSocket:
    """Make a card."""
    return Card(text)


@node("DynamicStamp", category=CATEGORY)
def stamp(text: Annotated[str, Text(default="")]) -> StampSocket:
    """Make a stamp."""
    return Stamp(text)


@node("DynamicResize", category=CATEGORY, display_name="Resize a card")
def resize(
    value: CardSocket,
    how: Annotated[Never | ToSize | ByFactor | LikeOthers, Choice(tooltip="In which way.")],
) -> Annotated[CardSocket, Out("resized")]:
    """Make a text longer or shorter.

    Args:
        value: the card whose text is resized.
    """
    text = value.text
    if how["how"] == "to size":
        return Card(text[: how["width"]].ljust(how["width"], how.get("fill") or "."))
    if how["how"] == "by factor":
        return Card((text * 64)[: round(len(text) * how["factor"])])
    if how["how"] == "like others":
        return Card(text.ljust(max(len(other.text) for other in how["others"].values()), "."))
    return value


@node("DynamicBatch", category=CATEGORY)
def batch(
    cards: Annotated[list[CardSocket], Growing("card", min=2, max=5)],
    weights: Annotated[dict[str, float], Growing(names=("first", "second", "third"), min=0)],
) -> CardSocket:
    """Put cards together, in the order of their inputs."""
    told = [f"{name}={weight:g}" for name, weight in weights.items()]
    return Card("+".join([card.text for card in cards] + told))


@node("DynamicSwitch", category=CATEGORY)
class Switch:
    """Give one of two values and never ask for the other."""

    def check_lazy(self, use: bool, on_true: T | None, on_false: T | None) -> list[str]:
        """Only one is needed."""
        return ["on_true" if use else "on_false"]

    def run(
        self,
        use: bool,
        on_true: Annotated[T, Socket("*", lazy=True)],
        on_false: Annotated[T, Socket("*", lazy=True)],
    ) -> T:
        """Choose."""
        return on_true if use else on_false


@node("DynamicFirst", category=CATEGORY)
def first(things: Annotated[list[Thing], Growing("thing", min=1, max=4)]) -> Thing:
    """Give the first of several things of one kind."""
    return things[0]


@node("DynamicShow", category=CATEGORY, output_node=True)
def show(value: AnyValue) -> Result[None]:
    """Show anything."""
    return Result(ui={"text": [str(getattr(value, "text", value))]})
