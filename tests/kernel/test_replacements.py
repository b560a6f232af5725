"""Prompts with ids that nodes had before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykernel.engine.registry import Registry
from comfykernel.plugin_host import LoadedPack
from comfykernel.validation._replace import replace_nodes
from comfykernel_sdk.errors import InvalidPrompt
from comfykernel_sdk.jobs import PromptRequest
from comfykernel_sdk.nodes import NodePack, Replacement, Result, node
from comfykernel_sdk.sockets import Growing
from comfykernel_sdk.testing import kernel_in_memory
from comfykernel_sdk.transport import Kernel, PluginInfo


class ByFactor(TypedDict):
    how: Literal["by factor"]
    factor: float


@node("Scale")
def scale(text: str, how: ByFactor, method: str) -> tuple[str, int]:
    return f"{text} {how['factor']} {method}", len(text)


@node("Join")
def join(texts: Annotated[list[str], Growing("text", min=1)]) -> str:
    return "+".join(texts)


@node("Show", output_node=True)
def show(text: str) -> Result[None]:
    return Result(ui={"text": [text]})


@node("ShowNumber", output_node=True)
def show_number(number: int) -> Result[None]:
    return Result(ui={"number": [number]})


REPLACEMENTS = [
    Replacement(
        old="ScaleBy", new="Scale", inputs={"text": "input", "how.factor": "scale_by", "method": "method"},
        values={"how": "by factor"}, outputs={0: 1, 1: 0}, widgets=["scale_by", "method"],
    ),
    Replacement(old="Concat", new="Combine", inputs={"first": "a", "second": "b"}),
    Replacement(old="Combine", new="Join", inputs={"texts.text0": "first", "texts.text1": "second"}),
    Replacement(old="Display", new="Show"),
    Replacement(old="Show", new="ShowNumber"),
    Replacement(old="Lost", new="NowhereToBeFound"),
    Replacement(old="Round", new="AndRound"),
    Replacement(old="AndRound", new="Round"),
]  # fmt: skip


@pytest.fixture
async def kernel() -> AsyncIterator[Kernel]:
    async with kernel_in_memory([scale, join, show, show_number]) as kernel:
        pack = NodePack("texts", [scale, join, show, show_number], replacements=REPLACEMENTS)
        registry = Registry([LoadedPack(pack, PluginInfo(name="texts", kind="node"))])
        kernel.catalog.set(registry.catalog)  # type: ignore[attr-defined]
        yield kernel


def made(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


async def accepted(kernel: Kernel, graph: dict[str, Any]) -> dict[str, Any]:
    submission = await kernel.submit(PromptRequest(graph=graph))
    assert submission.node_errors == {}
    job = await kernel.job(submission.prompt_id)
    assert job is not None
    return job.graph


async def test_inputs_outputs_and_values_go_where_they_belong_now(kernel: Kernel) -> None:
    graph = {
        "1": {**made("ScaleBy", input="ab", scale_by="2", method="area", gone=1), "_meta": {"title": "mine"}},
        "2": made("Display", text=["1", 1]),
        "3": made("ShowNumber", number=["1", 0]),
    }
    assert await accepted(kernel, graph) == {
        "1": {
            "class_type": "Scale",
            "inputs": {"text": "ab", "how.factor": 2.0, "method": "area", "how": "by factor"},
            "_meta": {"title": "mine"},
        },
        "2": made("Show", text=["1", 0]),
        "3": made("ShowNumber", number=["1", 1]),
    }


async def test_replacements_of_replacements(kernel: Kernel) -> None:
    graph = {"1": made("Concat", a="x", b="y"), "2": made("Show", text=["1", 0])}
    done = await accepted(kernel, graph)
    assert done["1"] == {"class_type": "Join", "inputs": {"texts.text0": "x", "texts.text1": "y"}}


async def test_a_node_that_is_there_is_not_replaced(kernel: Kernel) -> None:
    graph = {"1": made("Show", text="x")}
    assert await accepted(kernel, graph) == graph


@pytest.mark.parametrize(
    ("class_type", "named"), [("Lost", "NowhereToBeFound"), ("Round", "AndRound"), ("Other", "Other")]
)
async def test_a_replacement_that_is_not_installed_is_an_error(kernel: Kernel, class_type: str, named: str) -> None:
    with pytest.raises(InvalidPrompt) as caught:
        await kernel.submit(PromptRequest(graph={"1": made(class_type), "2": made("Show", text="x")}))
    assert caught.value.message == f"Cannot execute because node {named} does not exist."
    assert caught.value.details == "Node ID '#1'"


@pytest.mark.parametrize("graph", [{"1": []}, {"1": {"class_type": "ScaleBy", "inputs": []}}, {"1": None}, {"1": {}}])
async def test_graphs_that_are_none_are_refused_as_ever(kernel: Kernel, graph: Any) -> None:
    with pytest.raises(InvalidPrompt):
        await kernel.submit(PromptRequest(graph=graph))


@given(
    st.dictionaries(
        st.sampled_from("abcde"),
        st.fixed_dictionaries(
            {
                "class_type": st.sampled_from(["ScaleBy", "Concat", "Combine", "Show", "Else"]),
                "inputs": st.dictionaries(
                    st.sampled_from(["a", "b", "input", "text"]),
                    st.one_of(st.integers(), st.tuples(st.sampled_from("abcde"), st.integers(0, 2)).map(list)),
                ),
            }
        ),
    )
)
def test_no_node_is_lost_and_the_graph_of_the_client_stays(graph: dict[str, Any]) -> None:
    table = {r.old: r for r in REPLACEMENTS if r.old not in ("Show", "Round", "AndRound")}
    before = repr(graph)
    done = replace_nodes(graph, table)
    assert list(done) == list(graph)
    assert not {node["class_type"] for node in done.values()} & set(table)
    assert repr(graph) == before
    links = [v for node in done.values() for v in node["inputs"].values() if isinstance(v, list)]
    assert {v[0] for v in links} <= set("abcde")


async def test_workers_tell_replacements_with_their_pack(kernel: Kernel) -> None:
    (told,) = [pack for pack in kernel.node_packs() if pack["name"] == "texts"]
    replacements: Any = told["replacements"]
    assert replacements[0] == {
        "old": "ScaleBy", "new": "Scale", "inputs": {"text": "input", "how.factor": "scale_by", "method": "method"},
        "values": {"how": "by factor"}, "outputs": {"0": 1, "1": 0}, "widgets": ["scale_by", "method"],
    }  # fmt: skip
