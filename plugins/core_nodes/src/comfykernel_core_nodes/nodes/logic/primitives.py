"""Nodes that hold one value."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_sdk.sockets import Float, Int, Out, Text, Toggle

primitive_node = partial(
    extra_node("nodes_primitive"), category="utils/primitive", deprecated=False, experimental=False, api_node=False
)

LARGEST: Final = 2**63 - 1


@primitive_node("PrimitiveString", display_name="String")
def primitive_string(value: Annotated[str, Text(multiline=False)]) -> str:
    """A line of text."""
    return value


@primitive_node("PrimitiveStringMultiline", display_name="String (Multiline)")
def primitive_string_multiline(value: Annotated[str, Text(multiline=True)]) -> str:
    """A text of several lines."""
    return value


@primitive_node("PrimitiveInt", display_name="Int")
def primitive_int(value: Annotated[int, Int(min=-LARGEST, max=LARGEST, control_after_generate=True)]) -> int:
    """A whole number."""
    return value


@primitive_node("SeedNode", display_name="Seed")
def seed(
    seed: Annotated[int, Int(default=0, min=0, max=LARGEST, options={"control_after_generate": "fixed"})],
) -> Annotated[int, Out("seed")]:
    """A seed for several nodes; what comes after a run is chosen beside it, at first: the same again."""
    return seed


@primitive_node("PrimitiveFloat", display_name="Float")
def primitive_float(value: Annotated[float, Float(min=-LARGEST, max=LARGEST)]) -> float:
    """A number."""
    return value


@primitive_node("PrimitiveBoolean", display_name="Boolean")
def primitive_boolean(value: Annotated[bool, Toggle()]) -> bool:
    """A yes or no."""
    return value
