"""Validation of prompts: error types and structure, links, cycles, validators, partial targets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfykernel.validation import Validated, validate_prompt
from comfykernel_sdk.errors import InvalidPrompt
from comfykernel_sdk.nodes import InputSpec, NodeSpec, OutputSpec
from comfykernel_sdk.scheduler import ValidationAnswer, ValidationQuestion


def spec(id: str, *inputs: InputSpec, outputs: tuple[str, ...] = ("STRING",), **more: Any) -> NodeSpec:
    return NodeSpec(id=id, inputs=list(inputs), outputs=[OutputSpec(type=t, name=t) for t in outputs], **more)


INT = InputSpec(name="i", type="INT", options={"default": 5, "min": 0, "max": 10})
SPECS = {
    s.id: s
    for s in (
        spec("Echo", InputSpec(name="value", type="STRING", options={"default": ""})),
        spec("Show", InputSpec(name="value", type="STRING", options={"forceInput": True}), output_node=True),
        spec("Number", INT, outputs=("INT",), output_node=True),
        spec("Pick", InputSpec(name="c", type="COMBO", choices=["red", "green"], options={}), output_node=True),
        spec("Many", InputSpec(name="c", type="COMBO", choices=[f"o{n}" for n in range(21)]), output_node=True),
        spec("Loose", InputSpec(name="c", type="COMBO", choices=["x"], as_list=False), output_node=True),
        spec("Anything", InputSpec(name="v", type="*"), output_node=True),
        spec("Union", InputSpec(name="v", type="IMAGE,STRING"), output_node=True),
        spec("Even", INT, InputSpec(name="j", type="INT", options={"max": 10}), output_node=True, validates=["i"]),
        spec("Part", InputSpec(name="f", type="FLOAT", options={"min": 0.0}), output_node=True),
        spec("Typed", InputSpec(name="v", type="FLOAT"), output_node=True, validates=[], checks_types=True),
    )
}


async def refuse_questions(questions: list[ValidationQuestion]) -> list[ValidationAnswer]:
    raise AssertionError(f"nobody should ask: {questions}")


def validate(graph: dict[str, Any], *, targets: list[str] | None = None, ask: Any = refuse_questions) -> Validated:
    return asyncio.run(validate_prompt(graph, SPECS, lambda i: i.choices, ask, targets=targets))


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def refusal(graph: dict[str, Any], **more: Any) -> InvalidPrompt:
    with pytest.raises(InvalidPrompt) as caught:
        validate(graph, **more)
    return caught.value


def only_error(graph: dict[str, Any], id: str, **more: Any) -> dict[str, Any]:
    errors: Any = refusal(graph, **more).node_errors
    assert list(errors) == [id]
    assert len(errors[id]["errors"]) == 1
    return errors[id]["errors"][0]


def test_values_are_converted_and_unwrapped() -> None:
    graph = {"1": node("Number", i="7"), "2": node("Show", value=["3", 0]), "3": node("Echo", value={"__value__": [1]})}
    result = validate(graph)
    assert result.graph["1"]["inputs"] == {"i": 7}
    assert result.graph["3"]["inputs"] == {"value": "[1]"}
    assert result.outputs == ["1", "2"]
    assert graph["1"]["inputs"] == {"i": "7"}, "the client's graph is left alone"


@pytest.mark.parametrize(
    ("value", "type", "details"),
    [
        (-1, "value_smaller_than_min", "i"),
        (11, "value_bigger_than_max", "i"),
        ("many", "invalid_input_type", "i, many, invalid literal for int() with base 10: 'many'"),
        ([1], "bad_linked_input", "i"),
        (float("nan"), "invalid_input_type", "i, nan, cannot convert float NaN to integer"),
        (float("inf"), "invalid_input_type", "i, inf, cannot convert float infinity to integer"),
    ],
)
def test_wrong_constants(value: object, type: str, details: str) -> None:
    error = only_error({"1": node("Number", i=value)}, "1")
    assert (error["type"], error["details"]) == (type, details)
    assert error["extra_info"]["input_name"] == "i"
    assert error["extra_info"]["input_config"] == ["INT", {"default": 5, "min": 0, "max": 10}]


def test_nan_is_in_no_range() -> None:
    error = only_error({"1": node("Part", f=float("nan"))}, "1")
    assert (error["type"], error["details"]) == ("value_smaller_than_min", "f")


def test_choices() -> None:
    error = only_error({"1": node("Pick", c="Red")}, "1")
    assert error["details"] == "c: 'Red' not in ['red', 'green']"
    long = only_error({"1": node("Many", c="none")}, "1")
    assert long["details"] == "c: 'none' not in (list of length 21)"
    assert long["extra_info"]["input_config"] is None
    assert validate({"1": node("Loose", c="anything")}).outputs == ["1"]


@pytest.mark.parametrize("link", [["9", 0], ["1", 5], ["1", "x"], [1, 0], ["1", True]])
def test_links_to_nothing(link: list[object]) -> None:
    error = only_error({"1": node("Echo", value="a"), "2": node("Show", value=link)}, "2")
    assert error["type"] == "exception_during_validation"


def test_a_broken_link_further_up_is_told_at_its_node() -> None:
    graph = {"1": node("Echo", value=["9", 0]), "2": node("Show", value=["1", 0])}
    error = only_error(graph, "1")
    assert error["type"] == "exception_during_inner_validation"
    assert error["extra_info"]["linked_node"] == ["1", 0]


def test_linked_types() -> None:
    error = only_error({"1": node("Number", i=1), "2": node("Show", value=["1", 0])}, "2", targets=["2"])
    assert error["details"] == "value, received_type(INT) mismatch input_type(STRING)"
    assert validate({"1": node("Echo", value="a"), "2": node("Union", v=["1", 0])}).outputs == ["2"]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_a_cycle_is_named(size: int) -> None:
    graph = {str(n): node("Echo", value=[str((n + 1) % size), 0]) for n in range(size)}
    error = refusal({**graph, "out": node("Show", value=["0", 0])})
    assert set(error.node_errors) == set(graph)
    first: Any = error.node_errors["0"]
    assert first["errors"][0]["type"] == "dependency_cycle"
    assert first["dependent_outputs"] == ["out"]


def test_of_a_long_circle_only_its_end_is_shown() -> None:
    graph = {str(n): node("Echo", value=[str((n + 1) % 3000), 0]) for n in range(3000)}
    error = refusal({**graph, "out": node("Show", value=["0", 0])})
    assert set(error.node_errors) == set(graph)
    first: Any = error.node_errors["0"]
    assert first["errors"][0]["details"].startswith("0 -> ... -> 2980")
    assert first["errors"][0]["details"].endswith("2999 -> 0")


def test_every_output_that_needs_a_bad_node_is_named_also_behind_a_circle() -> None:
    graph = {
        "a": node("Echo", value=["b", 0]),
        "b": node("Echo", value=["a", 0]),
        "out 1": node("Show", value=["a", 0]),
        "out 2": node("Show", value=["b", 0]),
        "bad": node("Number", i=99),
        "fine": node("Number", i=1),
    }
    errors: Any = validate(graph).node_errors
    assert {id: each["dependent_outputs"] for id, each in errors.items()} == {
        "a": ["out 1", "out 2"], "b": ["out 1", "out 2"], "bad": ["bad"],
    }  # fmt: skip


def test_many_bad_outputs_over_one_long_chain() -> None:
    graph = {str(n): node("Echo", value=[str(n - 1), 0] if n else ["nowhere", 0]) for n in range(2_000)}
    shows = {f"out {n}": node("Show", value=["1999", 0]) for n in range(500)}
    errors: Any = refusal({**graph, **shows}).node_errors
    assert {id: len(each["dependent_outputs"]) for id, each in errors.items()} == {"0": 500}


def test_a_wrapped_list_is_a_constant_even_if_it_looks_like_a_link() -> None:
    result = validate({"1": node("Anything", v={"__value__": ["1", 0]}), "2": node("Anything", v={"__value__": [1]})})
    inputs = [each["inputs"] for each in result.graph.values()]
    assert inputs == [{"v": {"__value__": ["1", 0]}}, {"v": [1]}]


def test_a_chain_of_five_thousand_is_no_problem() -> None:
    graph = {str(n): node("Echo", value=[str(n - 1), 0] if n else "a") for n in range(5_000)}
    assert validate({**graph, "out": node("Show", value=["4999", 0])}).outputs == ["out"]


def test_good_outputs_run_though_others_are_bad() -> None:
    result = validate({"1": node("Number", i=1), "2": node("Show"), "3": node("Number", i=99)})
    assert result.outputs == ["1"]
    assert set(result.node_errors) == {"2", "3"}


def test_targets() -> None:
    graph = {"1": node("Number", i=1), "2": node("Number", i=2), "3": node("Show")}
    assert validate(graph, targets=["2"]).outputs == ["2"]
    assert refusal(graph, targets=["9"]).type == "prompt_no_outputs"
    assert refusal({}).type == "prompt_no_outputs"


@pytest.mark.parametrize(
    "bad", [5, {}, {"class_type": None}, {"class_type": "Nope"}, {"class_type": "Echo", "inputs": 3}]
)
def test_nodes_that_are_none(bad: object) -> None:
    error = refusal({"7": bad})
    assert error.type == "invalid_prompt"
    assert error.details == "Node ID '#7'"


def test_a_validator_sees_converted_constants_and_no_links() -> None:
    asked: list[ValidationQuestion] = []

    async def ask(questions: list[ValidationQuestion]) -> list[ValidationAnswer]:
        asked.extend(questions)
        return [ValidationAnswer(node_id=q.node_id, result="must be even") for q in questions]

    graph = {"1": node("Number", i=1), "2": node("Even", i="3", j=11), "3": node("Even", i=["1", 0], j=1)}
    errors: Any = validate(graph, ask=ask).node_errors
    assert [q.constants for q in asked] == [{"i": 3}, {"i": None}]
    assert [e["type"] for e in errors["2"]["errors"]] == ["value_bigger_than_max", "custom_validation_failed"]
    assert errors["2"]["errors"][1]["details"] == "i - must be even"


def test_a_validator_that_raises_and_one_for_types() -> None:
    problem = {"exception_message": "broke", "exception_type": "RuntimeError", "traceback": ["here"]}

    async def ask(questions: list[ValidationQuestion]) -> list[ValidationAnswer]:
        (question,) = questions
        assert question.input_types == {"v": "INT"}
        return [ValidationAnswer(node_id=question.node_id, error=problem)]

    graph = {"1": node("Number", i=1), "2": node("Typed", v=["1", 0])}
    error = only_error(graph, "2", ask=ask, targets=["2"])
    assert (error["type"], error["details"]) == ("exception_during_validation", "broke")
    assert error["extra_info"] == {"exception_type": "RuntimeError", "traceback": ["here"]}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
nodes = st.fixed_dictionaries(
    {"class_type": st.sampled_from([*SPECS, "Nope", None])},
    optional={"inputs": st.dictionaries(st.sampled_from(["value", "i", "c", "v", "j", "x"]), values, max_size=4)},
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["1", "2", "3", "a:b"]), nodes | values, max_size=4))
def test_any_graph_is_accepted_or_refused_with_a_typed_error(graph: dict[str, Any]) -> None:
    async def agree(questions: list[ValidationQuestion]) -> list[ValidationAnswer]:
        return [ValidationAnswer(node_id=q.node_id) for q in questions]

    try:
        outputs = validate(graph, ask=agree).outputs
    except InvalidPrompt as error:
        refused: Any = error
    else:
        assert outputs
        return
    assert refused.type in {"invalid_prompt", "prompt_no_outputs", "prompt_outputs_failed_validation"}
    assert all(entry["errors"] and entry["dependent_outputs"] for entry in refused.node_errors.values())
