"""Prompts with dotted names: what validation accepts, what it refuses and how, what the function gets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, TypedDict, TypeVar

import msgspec
import pytest

from comfykernel_sdk.errors import InvalidPrompt
from comfykernel_sdk.events import JobFinished
from comfykernel_sdk.jobs import JobState, PromptRequest
from comfykernel_sdk.nodes import Result, node
from comfykernel_sdk.sockets import AnyValue, Choice, Growing, Int, Socket
from comfykernel_sdk.testing import kernel_in_memory, run_graph
from comfykernel_sdk.transport import Kernel

Thing = Annotated[str, Socket("THING")]
Other = Annotated[str, Socket("OTHER")]
T = TypeVar("T")
Both = TypeVar("Both", Thing, Other)


class Small(TypedDict):
    mode: Literal["small"]


class Sized(TypedDict):
    mode: Literal["sized"]
    width: Annotated[int, Int(default=8, min=1, max=64)]
    model: NotRequired[Annotated[str, Choice(source="checkpoints")]]


class Parts(TypedDict):
    mode: Literal["parts"]
    parts: Annotated[dict[str, Thing], Growing("part", min=1, max=3)]


@node("Thing")
def thing(text: str) -> Thing:
    return text


@node("Other")
def other() -> Other:
    return "other"


@node("Any")
def anything() -> AnyValue:
    return "any"


@node("Pick")
def pick(mode: Small | Sized | Parts) -> Result[str]:
    return Result("done", ui={"got": [mode]})


@node("Show", output_node=True)
def show(text: AnyValue) -> Result[None]:
    return Result(ui={"text": [text]})


@node("Mode", output_node=True)
def mode_of(mode: Small | Sized | Parts) -> Result[None]:
    return Result(ui={"got": [mode]})


@node("Join", output_node=True)
def join(
    things: Annotated[list[Thing], Growing("thing", min=2, max=4)],
    numbers: Annotated[dict[str, float], Growing(names=("a", "b"), min=0)],
) -> Result[None]:
    return Result(ui={"got": [things, numbers]})


@node("Switch")
class Switch:
    def check_lazy(self, use: bool, on_true: T | None, on_false: T | None) -> list[str]:
        return ["on_true" if use else "on_false"]

    def run(
        self, use: bool, on_true: Annotated[T, Socket("*", lazy=True)], on_false: Annotated[T, Socket("*", lazy=True)]
    ) -> T:
        return on_true if use else on_false


@node("Same")
def same(items: Annotated[list[Both], Growing("item", min=1, max=3)]) -> Both:
    return items[0]


@node("Checked", output_node=True)
class Checked:
    @staticmethod
    def validate(mode: Small | Sized | Parts) -> bool | str:
        return True if mode["mode"] != "sized" or mode["width"] % 2 == 0 else f"{mode} is odd"

    @staticmethod
    def fingerprint(mode: Small | Sized | Parts) -> str:
        return mode["mode"]

    def run(self, mode: Small | Sized | Parts) -> Result[None]:
        return Result(ui={"got": [mode]})


NODES = [thing, other, anything, pick, show, mode_of, join, Switch, same, Checked]


@pytest.fixture
async def kernel() -> AsyncIterator[Kernel]:
    async with kernel_in_memory(NODES) as kernel:
        yield kernel


def made(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def dotted(class_type: str, inputs: dict[str, Any]) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


async def run(kernel: Kernel, graph: dict[str, Any]) -> dict[str, Any]:
    events = kernel.subscribe()
    submission = await kernel.submit(PromptRequest(graph=graph))
    assert submission.node_errors == {}
    async for heard in events:
        if isinstance(heard.event, JobFinished):
            break
    events.close()
    job = await kernel.job(submission.prompt_id)
    assert job is not None
    assert job.outcome is not None
    assert job.state is JobState.DONE, job.outcome
    return job.outcome.outputs


async def errors(kernel: Kernel, graph: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    with pytest.raises(InvalidPrompt) as caught:
        await kernel.submit(PromptRequest(graph=graph))
    found: Any = caught.value.node_errors
    return [
        (id, error["type"], error["details"], error["extra_info"]["input_name"])
        for id, node in found.items()
        for error in node["errors"]
    ]


PARTS = {"input": {"required": {"part": ["THING"]}}, "prefix": "part", "min": 1, "max": 3}
MODES = "not in ['small', 'sized', 'parts']"


async def test_object_info_has_the_forms_that_the_web_page_knows(kernel: Kernel) -> None:
    info = msgspec.json.decode((await kernel.object_info()).json)
    assert info["Mode"]["input"]["required"]["mode"] == [
        "COMFY_DYNAMICCOMBO_V3",
        {
            "options": [
                {"key": "small", "inputs": {"required": {}}},
                {
                    "key": "sized",
                    "inputs": {
                        "required": {"width": ["INT", {"default": 8, "min": 1, "max": 64}]},
                        "optional": {"model": [[], {}]},
                    },
                },
                {
                    "key": "parts",
                    "inputs": {
                        "required": {
                            "parts": [
                                "COMFY_AUTOGROW_V3",
                                {"template": PARTS},
                            ]
                        }
                    },
                },
            ]
        },
    ]  # fmt: skip
    assert info["Join"]["input"]["required"]["numbers"] == [
        "COMFY_AUTOGROW_V3",
        {
            "template": {
                "input": {"required": {"numbers": ["FLOAT", {"forceInput": True}]}}, "names": ["a", "b"], "min": 0,
            }
        },
    ]  # fmt: skip
    switch = info["Switch"]
    assert switch["input"]["required"]["on_true"] == [
        "COMFY_MATCHTYPE_V3", {"lazy": True, "template": {"template_id": "T", "allowed_types": "*"}},
    ]  # fmt: skip
    assert (switch["output"], switch["output_matchtypes"]) == (["COMFY_MATCHTYPE_V3"], ["T"])
    assert info["Same"]["input"]["required"]["items"][1]["template"]["input"] == {
        "required": {
            "item": ["COMFY_MATCHTYPE_V3", {"template": {"template_id": "Both", "allowed_types": "THING,OTHER"}}]
        }
    }
    assert "output_matchtypes" not in info["Join"]
    assert info["Mode"]["input_order"] == {"required": ["mode"]}


async def test_named_lists_of_files_inside_a_choice_are_read_anew(kernel: Kernel, tmp_path: Path) -> None:
    def model() -> Any:
        info = msgspec.json.decode(data)
        return info["Mode"]["input"]["required"]["mode"][1]["options"][1]["inputs"]["optional"]["model"][0]

    data = (await kernel.object_info()).json
    assert model() == []
    (tmp_path / "new.safetensors").touch()
    kernel.models.add_root("checkpoints", tmp_path)
    data = (await kernel.object_info()).json
    assert model() == ["new.safetensors"]


@pytest.mark.parametrize(
    ("inputs", "got"),
    [
        ({"mode": "small"}, {"mode": "small"}),
        ({"mode": "small", "mode.width": "left from before"}, {"mode": "small"}),
        ({"mode": "sized", "mode.width": "12"}, {"mode": "sized", "width": 12}),
        (
            {"mode": "parts", "mode.parts.part0": ["t", 0], "mode.parts.part2": ["t", 0]},
            {"mode": "parts", "parts": {"part0": "x", "part2": "x"}},
        ),
    ],
)
async def test_a_choice_reaches_the_function(kernel: Kernel, inputs: dict[str, Any], got: Any) -> None:
    outputs = await run(kernel, {"t": made("Thing", text="x"), "1": dotted("Mode", inputs)})
    assert outputs == {"1": {"got": [got]}}


async def test_a_growing_group_reaches_the_function(kernel: Kernel) -> None:
    things = {f"things.thing{n}": [f"t{n}", 0] for n in (0, 1, 3)}
    graph = {f"t{n}": made("Thing", text=str(n)) for n in range(4)}
    outputs = await run(kernel, {**graph, "1": dotted("Join", {**things, "numbers.b": 2})})
    assert outputs == {"1": {"got": [["0", "1", "3"], {"b": 2.0}]}}


async def test_lazy_matched_inputs(kernel: Kernel) -> None:
    graph = {
        "a": made("Thing", text="a"), "b": made("Thing", text="b"),
        "s": made("Switch", use=False, on_true=["a", 0], on_false=["b", 0]), "1": made("Show", text=["s", 0]),
    }  # fmt: skip
    assert await run(kernel, graph) == {"1": {"text": ["b"]}}
    assert "a" not in run_graph(graph, nodes=NODES).ran


@pytest.mark.parametrize(
    ("class_type", "inputs", "expected"),
    [
        ("Mode", {}, ("required_input_missing", "mode", "mode")),
        ("Mode", {"mode": "huge"}, ("value_not_in_list", f"mode: 'huge' {MODES}", "mode")),
        (
            "Mode", {"mode": {"mode": "small"}},
            ("value_not_in_list", f"mode: '{{'mode': 'small'}}' {MODES}", "mode"),
        ),
        ("Mode", {"mode": ["t", 0]}, ("value_not_in_list", f"mode: '['t', 0]' {MODES}", "mode")),
        ("Mode", {"mode": "sized"}, ("required_input_missing", "mode.width", "mode.width")),
        ("Mode", {"mode": "sized", "mode.width": 65}, ("value_bigger_than_max", "mode.width", "mode.width")),
        (
            "Mode", {"mode": "sized", "mode.width": "wide"},
            ("invalid_input_type", "mode.width, wide, invalid literal for int() with base 10: 'wide'", "mode.width"),
        ),
        ("Mode", {"mode": "parts"}, ("required_input_missing", "mode.parts.part0", "mode.parts.part0")),
        (
            "Mode", {"mode": "parts", "mode.parts.part0": ["t", 0], "mode.parts.part3": ["t", 0]},
            (
                "unknown_input", "mode.parts.part3: mode.parts takes mode.parts.part0 to mode.parts.part2",
                "mode.parts.part3",
            ),
        ),
        (
            "Mode", {"mode": "parts", "mode.parts.part0": ["o", 0]},
            (
                "return_type_mismatch", "mode.parts.part0, received_type(OTHER) mismatch input_type(THING)",
                "mode.parts.part0",
            ),
        ),
        ("Join", {"things.thing0": ["t", 0]}, ("required_input_missing", "things.thing1", "things.thing1")),
        (
            "Join", {"things": {"thing0": ["t", 0]}, "things.thing0": ["t", 0], "things.thing1": ["t", 0]},
            ("unknown_input", "things: things takes things.thing0 to things.thing3", "things"),
        ),
        (
            "Join", {"things.thing0": ["t", 0], "things.thing1": ["t", 0], "numbers.c": 1},
            ("unknown_input", "numbers.c: numbers takes numbers.a to numbers.b", "numbers.c"),
        ),
        (
            "Checked", {"mode": "sized", "mode.width": 3},
            ("custom_validation_failed", "mode - {'mode': 'sized', 'width': 3} is odd", "mode"),
        ),
    ],
)  # fmt: skip
async def test_bad_dotted_inputs(
    kernel: Kernel, class_type: str, inputs: dict[str, Any], expected: tuple[str, str, str]
) -> None:
    graph = {"t": made("Thing", text="x"), "o": made("Other"), "1": dotted(class_type, inputs)}
    assert await errors(kernel, graph) == [("1", *expected)]


async def test_a_validator_and_a_fingerprint_see_the_whole_choice(kernel: Kernel) -> None:
    outputs = await run(kernel, {"1": dotted("Checked", {"mode": "sized", "mode.width": 4})})
    assert outputs == {"1": {"got": [{"mode": "sized", "width": 4}]}}


async def test_matched_types_agree_through_chains(kernel: Kernel) -> None:
    graph = {
        "t": made("Thing", text="t"), "o": made("Other"), "a": made("Any"),
        "s1": made("Switch", use=True, on_true=["t", 0], on_false=["a", 0]),
        "s2": made("Switch", use=True, on_true=["s1", 0], on_false=["t", 0]),
        "1": dotted("Join", {"things.thing0": ["s2", 0], "things.thing1": ["t", 0]}),
    }  # fmt: skip
    assert await run(kernel, graph) == {"1": {"got": [["t", "t"], {}]}}
    graph["s1"]["inputs"]["on_false"] = ["o", 0]
    assert await errors(kernel, graph) == [
        ("s1", "return_type_mismatch", "on_false, received_type(OTHER) mismatch input_type(THING)", "on_false")
    ]
    graph["s1"]["inputs"] = {"use": True, "on_true": ["o", 0], "on_false": ["a", 0]}
    below = ("s2", "return_type_mismatch", "on_false, received_type(THING) mismatch input_type(OTHER)", "on_false")
    name = "things.thing0"
    end = ("1", "return_type_mismatch", f"{name}, received_type(OTHER) mismatch input_type(THING)", name)
    assert await errors(kernel, graph) == [end, below]
    graph["s2"]["inputs"]["on_false"] = ["o", 0]
    assert await errors(kernel, graph) == [end]


async def test_a_template_takes_only_its_types(kernel: Kernel) -> None:
    graph = {
        "t": made("Thing", text="t"), "n": dotted("Pick", {"mode": "small"}),
        "s": dotted("Same", {"items.item0": ["t", 0], "items.item1": ["n", 0]}), "1": made("Show", text=["s", 0]),
    }  # fmt: skip
    assert await errors(kernel, graph) == [
        ("s", "return_type_mismatch", "items.item1, received_type(STRING) mismatch input_type(THING)", "items.item1")
    ]
    graph["s"]["inputs"].pop("items.item1")
    assert await run(kernel, graph) == {"1": {"text": ["t"]}}


async def test_a_link_left_from_another_choice_is_not_followed(kernel: Kernel) -> None:
    graph = {"1": dotted("Mode", {"mode": "small", "mode.parts.part0": ["gone", 0]})}
    assert await run(kernel, graph) == {"1": {"got": [{"mode": "small"}]}}


async def test_a_chain_of_switches_as_long_as_it_likes(kernel: Kernel) -> None:
    graph = {"0": made("Thing", text="t")}
    for n in range(1, 1500):
        graph[str(n)] = made("Switch", use=True, on_true=[str(n - 1), 0], on_false=[str(n - 1), 0])
    graph["show"] = made("Show", text=["1499", 0])
    assert await kernel.validate_only(PromptRequest(graph=graph)) == {}


def test_a_failure_is_told_from_the_code_of_the_node_on() -> None:
    @node("Broken", output_node=True)
    def broken(mode: Small | Sized) -> Result[None]:
        raise ValueError(mode["mode"])

    run = run_graph({"1": made("Broken", mode="small")}, nodes=[broken])
    assert run.error is not None
    assert [line.split(", in ")[1].split("\n")[0] for line in run.error.traceback] == ["broken"]
