"""Nodes that do what they must not: each is to fail by itself, with a word that helps its author."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Annotated, Any

from comfykernel_sdk.graph import Expansion, Graph, GraphBuilder
from comfykernel_sdk.hooks import RegisterNodes, hookimpl
from comfykernel_sdk.nodes import NodePack, Result, node
from comfykernel_sdk.sockets import Out


@node("BadShow", output_node=True)
def show(value: int) -> Result[None]:
    return Result(ui={"values": [value]})


@node("BadEcho")
def echo(value: int) -> int:
    return value


@node("BadRaise")
def raises(value: int) -> int:
    raise ArithmeticError(f"no {value}")


@node("BadExit")
def ends(value: int) -> int:
    sys.exit(3)


@node("BadFew")
def few(value: int) -> tuple[int, int]:
    return (value,)  # type: ignore[return-value]


@node("BadType")
def wrong_type(value: int) -> int:
    return "a text"  # type: ignore[return-value]


@node("BadPair")
def no_tuple(value: int) -> tuple[int, int]:
    return value  # type: ignore[return-value]


@node("BadList")
def no_list(value: int) -> Annotated[list[int], Out(is_list=True)]:
    return value  # type: ignore[return-value]


@node("BadGenerator")
def generator(value: int) -> int:
    return (each for each in range(value))  # type: ignore[return-value]


@node("BadNan")
class Nan:
    """Its change token equals no other, itself included: it runs in every prompt."""

    calls = 0

    def fingerprint(self, value: int) -> float:
        return math.nan

    def run(self, value: int) -> int:
        Nan.calls += 1
        return Nan.calls


@node("BadToken")
class Token:
    def fingerprint(self, value: int) -> float:
        raise ArithmeticError("no token")

    def run(self, value: int) -> int:
        return value


@node("BadValidator")
class Validator:
    def validate(self, value: int) -> bool:
        raise ArithmeticError("no answer")

    def run(self, value: int) -> int:
        return value


@node("BadForever")
def forever(value: int) -> int | Expansion:
    graph = GraphBuilder()
    link = graph.node("BadForever", value=value + 1).out(0)
    return Expansion(graph.finalize(), (link,))


def expanding(name: str, graph: Graph, output: int = 0) -> Callable[..., Any]:
    @node(name)
    def expand(value: int) -> int | Expansion:
        return Expansion(graph, (["x", output],))

    return expand


EXPANDING = (
    expanding("BadClass", {"x": {"class_type": "NoSuchClass", "inputs": {}}}),
    expanding("BadLink", {"x": {"class_type": "BadEcho", "inputs": {"value": ["nowhere", 0]}}}),
    expanding("BadOutput", {"x": {"class_type": "BadEcho", "inputs": {"value": 1}}}, 7),
    expanding("BadCircle", {"x": {"class_type": "BadEcho", "inputs": {"value": ["1", 0]}}}),
    expanding("BadItself", {"1": {"class_type": "BadEcho", "inputs": {"value": 1}}}),
    expanding("BadInside", {"x": {"class_type": "BadRaise", "inputs": {"value": 5}}}),
)
NODES = (
    show, echo, raises, ends, few, wrong_type, no_tuple, no_list, generator, Nan, Token, Validator, forever, *EXPANDING,
)  # fmt: skip


@hookimpl
def register_nodes(register: RegisterNodes) -> None:
    register(NodePack("faulty", NODES))
