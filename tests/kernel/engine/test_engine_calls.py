"""How nodes are called: lists, batches, hidden inputs, constants, blockers, and what they may return."""

from __future__ import annotations

from typing import Annotated

import pytest

from comfykernel_sdk.context import NodeContext, current_context
from comfykernel_sdk.events import ExecutionFailed
from comfykernel_sdk.graph import Graph
from comfykernel_sdk.json_types import Json
from comfykernel_sdk.nodes import Blocker, InputSpec, NodeDefinition, NodeSpec, OutputSpec, Result, node
from comfykernel_sdk.sockets import AnyValue, ExtraPngInfo, Hidden, Out, PromptGraph, Socket, UniqueId
from comfykernel_sdk.testing import run_graph, run_node


@node("Items")
def items(values: AnyValue) -> Annotated[list[AnyValue], Out(is_list=True)]:
    return values  # type: ignore[return-value]


@node("Pair")
def pair(a: str, b: str = "-") -> str:
    return a + b


@node("Show", output_node=True)
def show(value: AnyValue) -> Result[None]:
    return Result(ui={"text": [value], "kind": [type(value).__name__]})


@node("Join", input_is_list=True)
def join(values: list[str], id: list[UniqueId]) -> str:
    return f"{','.join(values)} of {id}"


def shown(graph: Graph, **nodes: object) -> object:
    run = run_graph(graph, nodes=[items, pair, show, join, *nodes.values()])
    assert run.status == "done", run.error
    return {id: ui["text"] for id, ui in run.ui.items()}


def of_lists(*lists: list[str]) -> Graph:
    graph: Graph = {"show": {"class_type": "Show", "inputs": {"value": ["pair", 0]}}}
    graph["pair"] = {"class_type": "Pair", "inputs": {name: [name, 0] for name, _ in zip("ab", lists, strict=False)}}
    for name, values in zip("ab", lists, strict=False):
        graph[name] = {"class_type": "Items", "inputs": {"values": {"__value__": list(values)}}}
    return graph


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ((["1", "2", "3"], ["x", "y"]), ["1x", "2y", "3y"]),
        ((["1"], ["x", "y"]), ["1x", "1y"]),
        ((["1", "2"],), ["1-", "2-"]),
    ],
)
def test_lists_are_zipped_with_the_last_item_repeated(lists: tuple[list[str], ...], expected: list[str]) -> None:
    assert shown(of_lists(*lists)) == {"show": expected}


def test_an_empty_list_means_no_call() -> None:
    run = run_graph(of_lists([], ["x"]), nodes=[items, pair, show])
    assert (run.status, run.ui, run.outputs["pair"]) == ("done", {}, [[]])


def test_a_node_that_takes_lists_gets_hidden_inputs_as_lists_too() -> None:
    assert run_node(join, values=["a", "b"]).output == "a,b of ['1']"
    assert run_node(join, values=[]).output == " of ['1']"


def test_ui_of_a_mapped_node_is_put_together_key_by_key() -> None:
    run = run_graph(of_lists(["1", "2"]), nodes=[items, pair, show])
    assert run.ui == {"show": {"text": ["1-", "2-"], "kind": ["str", "str"]}}


def test_a_wrapped_constant_is_no_link() -> None:
    graph: Graph = {"1": {"class_type": "Show", "inputs": {"value": {"__value__": ["x", 0]}}}}
    assert shown(graph) == {"1": [["x", 0]]}


def test_undeclared_inputs() -> None:
    @node("Any", accepts_any_input=True)
    def any_input(**inputs: object) -> AnyValue:
        return sorted(inputs.items())

    graph: Graph = {
        "1": {"class_type": "Pair", "inputs": {"a": "v", "unknown": 1, "linked": ["nowhere", 0]}},
        "2": {"class_type": "Any", "inputs": {"linked": ["1", 0], "constant": 1}},
        "3": {"class_type": "Show", "inputs": {"value": ["2", 0]}},
    }
    assert shown(graph, any_input=any_input) == {"3": [[["linked", "v-"]]]}


def test_hidden_inputs() -> None:
    @node("Hidden", output_node=True)
    def hidden(
        prompt: PromptGraph, info: ExtraPngInfo, id: UniqueId, token: Annotated[str, Hidden("AUTH_TOKEN_COMFY_ORG")]
    ) -> Result[None]:
        return Result(ui={"seen": [prompt, info, id, token]})

    graph: Graph = {"7": {"class_type": "Hidden", "inputs": {}, "_meta": {"title": "T"}}}
    extra: dict[str, Json] = {"extra_pnginfo": {"workflow": 1}, "auth_token_comfy_org": "secret"}
    run = run_graph(graph, nodes=[hidden], extra_data=extra)
    assert run.ui["7"]["seen"] == [graph, {"workflow": 1}, "7", "secret"]
    none = run_graph(graph, nodes=[hidden])
    assert none.ui["7"]["seen"] == [graph, None, "7", None]


def test_secrets_do_not_stand_in_errors() -> None:
    @node("Leaks", output_node=True)
    def leaks(value: int, token: Annotated[str, Hidden("API_KEY_COMFY_ORG")]) -> None:
        raise OSError("no")

    graph: Graph = {"1": {"class_type": "Leaks", "inputs": {"value": 3}}}
    run = run_graph(graph, nodes=[leaks], extra_data={"api_key_comfy_org": "secret"})
    assert run.error is not None
    assert run.error.current_inputs == {"value": [3]}


def test_a_raw_link_is_handed_over_and_its_source_runs_first() -> None:
    @node("Raw", output_node=True)
    def raw(link: Annotated[list[Json], Socket("*", raw_link=True)]) -> Result[None]:
        return Result(ui={"text": [link]})

    graph: Graph = {
        "1": {"class_type": "Raw", "inputs": {"link": ["2", 0]}},
        "2": {"class_type": "Pair", "inputs": {"a": "x"}},
    }
    run = run_graph(graph, nodes=[pair, raw])
    assert (run.ran, run.ui["1"]["text"]) == (["2", "1"], [["2", 0]])


class TestBlockers:
    @staticmethod
    @node("Block")
    def block(values: AnyValue) -> Annotated[list[AnyValue], Out(is_list=True)]:
        return [Blocker(value[1:]) if str(value).startswith("!") else value for value in values]  # type: ignore[attr-defined]

    def run(self, *values: str, then: str = "Pair") -> tuple[dict[str, Json], list[str]]:
        graph: Graph = {
            "1": {"class_type": "Block", "inputs": {"values": {"__value__": list(values)}}},
            "2": {"class_type": then, "inputs": {"a" if then == "Pair" else "values": ["1", 0]}},
            "3": {"class_type": "Show", "inputs": {"value": ["2", 0]}},
        }
        run = run_graph(graph, nodes=[type(self).block, pair, show, join])
        assert run.status == "done"
        assert "execution_error" not in [name for name, _ in run.outcome.messages]
        told = [e for e in run.events if isinstance(e, ExecutionFailed)]
        assert all((e.exception_type, e.timed, e.node_id) == ("ExecutionBlocked", False, "2") for e in told)
        return run.ui.get("3", {}), [e.exception_message for e in told]

    def test_one_item_of_a_list_is_dropped(self) -> None:
        assert self.run("a", "!", "c")[0]["text"] == ["a-", "c-"]

    def test_a_message_is_told_once(self) -> None:
        ui, messages = self.run("!stop here", "b")
        assert (ui["text"], messages) == (["b-"], ["Execution Blocked: stop here"])

    def test_a_node_that_takes_the_list_does_not_run(self) -> None:
        assert self.run("a", "!no", then="Join") == ({}, ["Execution Blocked: no"])


def test_the_context_of_a_node() -> None:
    @node("Context", output_node=True)
    def context_node(context: NodeContext) -> Result[None]:
        same = current_context() is context
        return Result(ui={"seen": [same, context.node_id, context.prompt_id, context.cancelled, list(context.graph())]})

    run = run_graph({"9": {"class_type": "Context", "inputs": {}}}, nodes=[context_node])
    assert run.ui["9"]["seen"] == [True, "9", "test-prompt", False, ["9"]]
    with pytest.raises(LookupError):
        current_context()


def definition(result: object, *outputs: OutputSpec) -> NodeDefinition:
    spec = NodeSpec(id="X", inputs=[InputSpec(name="a", type="*")], outputs=list(outputs), output_node=True)
    return NodeDefinition(spec=spec, run=lambda _, a: result)


INT, LIST = OutputSpec(type="INT", name="INT"), OutputSpec(type="INT", name="LIST", is_list=True)


@pytest.mark.parametrize(
    ("result", "outputs", "expected"),
    [
        (1, [INT], [[1]]),
        ((1, 2), [INT], [[(1, 2)]]),
        ((1, [2, 3]), [INT, LIST], [[1], [2, 3]]),
        (Result((1, 2)), [INT, INT], [[1], [2]]),
        (Result(1, 2), [INT, INT], [[1], [2]]),
        (Result(ui={"a": [1]}), [], []),
        (None, [], []),
        (None, [INT], [[None]]),
    ],
)
def test_what_a_node_may_return(result: object, outputs: list[OutputSpec], expected: list[list[object]]) -> None:
    run = run_graph({"1": {"class_type": "X", "inputs": {"a": 1}}}, nodes=[definition(result, *outputs)])
    assert (run.status, run.outputs) == ("done", {"1": expected})


@pytest.mark.parametrize(("result", "outputs"), [(1, [INT, INT]), ((1,), [INT, INT]), (1, [LIST]), ("ab", [LIST])])
def test_what_does_not_fit_the_declaration_is_an_error(result: object, outputs: list[OutputSpec]) -> None:
    run = run_graph({"1": {"class_type": "X", "inputs": {"a": 1}}}, nodes=[definition(result, *outputs)])
    assert run.error is not None
    assert run.error.exception_type.endswith("WrongResult")
    assert run.error.node_id == "1"
