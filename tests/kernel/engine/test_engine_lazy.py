"""Lazy inputs: nodes that decide what has to run."""

from __future__ import annotations

from typing import Annotated

from comfykernel_sdk.graph import Graph
from comfykernel_sdk.nodes import Blocker, Result, node
from comfykernel_sdk.sockets import AnyValue, Socket
from comfykernel_sdk.testing import GraphRun, run_graph

Lazy = Annotated[AnyValue, Socket("*", lazy=True)]


@node("Echo")
def echo(value: AnyValue) -> AnyValue:
    return value


@node("Fail")
def fail(value: AnyValue) -> AnyValue:
    raise ValueError("must not run")


@node("Show", output_node=True)
def show(value: AnyValue) -> Result[None]:
    return Result(ui={"text": [value]})


@node("If")
class If:
    def check_lazy(self, which: bool, a: AnyValue, b: AnyValue) -> list[str]:
        return ["a" if which else "b", "unknown"]

    def run(self, which: bool, a: Lazy, b: Lazy) -> AnyValue:
        return (a, b)[0 if which else 1]


@node("First")
class First:
    """Asks for one input after the other until one is true."""

    async def check_lazy(self, a: AnyValue, b: AnyValue, c: AnyValue) -> list[str]:
        for name, value in (("a", a), ("b", b), ("c", c)):
            if value is None:
                return [name]
            if value:
                return []
        return []

    def run(self, a: Lazy, b: Lazy, c: Lazy) -> AnyValue:
        return [a, b, c]


def run(kind: str, sources: dict[str, object], **constants: object) -> GraphRun:
    graph: Graph = {
        name: {"class_type": "Fail" if value == "fail" else "Echo", "inputs": {"value": value}}  # type: ignore[dict-item]
        for name, value in sources.items()
    }
    graph["lazy"] = {"class_type": kind, "inputs": {**{name: [name, 0] for name in sources}, **constants}}  # type: ignore[dict-item]
    graph["show"] = {"class_type": "Show", "inputs": {"value": ["lazy", 0]}}
    return run_graph(graph, nodes=[echo, fail, show, If, First])


def test_only_the_wanted_input_runs() -> None:
    for which, sources in ((True, {"a": 1, "b": "fail"}), (False, {"a": "fail", "b": 1})):
        result = run("If", dict(sources), which=which)
        assert result.ui == {"show": {"text": [1]}}
        assert result.ran == ["a" if which else "b", "lazy", "show"]


def test_the_decision_may_be_a_linked_value() -> None:
    graph: Graph = {
        "which": {"class_type": "Echo", "inputs": {"value": False}},
        "a": {"class_type": "Fail", "inputs": {"value": 0}},
        "b": {"class_type": "Echo", "inputs": {"value": 2}},
        "lazy": {"class_type": "If", "inputs": {"which": ["which", 0], "a": ["a", 0], "b": ["b", 0]}},
        "show": {"class_type": "Show", "inputs": {"value": ["lazy", 0]}},
    }
    result = run_graph(graph, nodes=[echo, fail, show, If])
    assert (result.ran, result.ui) == (["which", "b", "lazy", "show"], {"show": {"text": [2]}})


def test_a_node_may_ask_again_with_what_it_got() -> None:
    result = run("First", {"a": 0, "b": 7, "c": "fail"})
    assert result.ui == {"show": {"text": [[0, 7, None]]}}
    assert result.ran == ["a", "b", "lazy", "show"]


def test_without_a_check_lazy_inputs_are_plain_ones() -> None:
    @node("Plain", output_node=True)
    def plain(value: Lazy) -> Result[None]:
        return Result(ui={"text": [value]})

    graph: Graph = {
        "1": {"class_type": "Echo", "inputs": {"value": 1}},
        "2": {"class_type": "Plain", "inputs": {"value": ["1", 0]}},
    }
    assert run_graph(graph, nodes=[echo, plain]).ui == {"2": {"text": [1]}}


def test_a_check_that_fails_is_a_failure_of_the_node() -> None:
    @node("Bad", output_node=True)
    class Bad:
        def check_lazy(self, a: AnyValue) -> list[str]:
            raise KeyError("check")

        def run(self, a: Lazy) -> None:
            raise AssertionError

    graph: Graph = {
        "1": {"class_type": "Echo", "inputs": {"value": 1}},
        "2": {"class_type": "Bad", "inputs": {"a": ["1", 0]}},
    }
    result = run_graph(graph, nodes=[echo, Bad])
    assert result.error is not None
    assert (result.error.node_id, result.error.exception_type) == ("2", "KeyError")


def test_a_lazy_input_that_nobody_asked_for_does_not_count_though_it_is_known() -> None:
    """Else it would hang on what else a prompt runs, and on the cache, whether a blocker behind it stops the node."""

    @node("Block", output_node=True)
    def block(value: str) -> str:
        return Blocker(value)  # type: ignore[return-value]

    graph: Graph = {
        "block": {"class_type": "Block", "inputs": {"value": "stopped"}},
        "if": {"class_type": "If", "inputs": {"a": "A", "b": ["block", 0], "which": True}},
        "show": {"class_type": "Show", "inputs": {"value": ["if", 0]}},
    }
    run = run_graph(graph, nodes=[echo, show, If, block], outputs=["block", "show"])
    assert (run.status, run.ui["show"]) == ("done", {"text": ["A"]})
