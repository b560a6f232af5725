"""What happens when nodes with a schema run."""

from __future__ import annotations

import asyncio
import io as files
import threading
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from comfykernel_compat_comfyui.class_nodes.results import WrongReturnValue
from comfykernel_compat_comfyui.schema_nodes import schema_definition
from comfykernel_compat_comfyui.shims.comfy_api.latest import ComfyAPI, ComfyAPISync, io
from comfykernel_sdk.errors import InvalidPrompt
from comfykernel_sdk.events import NodePreview, NodeProgress
from comfykernel_sdk.graph import GraphBuilder
from comfykernel_sdk.jobs import PromptRequest
from comfykernel_sdk.nodes import NodeDefinition
from comfykernel_sdk.testing import GraphRun, GraphRunner, kernel_in_memory, run_graph


def defined(cls: type) -> NodeDefinition:
    return schema_definition(cls, python_module="custom_nodes.pack")


class Give(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema("Give", inputs=[io.AnyType.Input("value")], outputs=[io.AnyType.Output()])

    @classmethod
    def execute(cls, value: object) -> io.NodeOutput:
        return io.NodeOutput(value)


class Show(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema("Show", inputs=[io.AnyType.Input("value")], is_output_node=True)

    @classmethod
    def execute(cls, value: object) -> io.NodeOutput:
        return io.NodeOutput(ui={"seen": [str(value)]})


def run_one(cls: type[io.ComfyNode], inputs: dict[str, Any], **more: Any) -> GraphRun:
    graph = {"1": {"class_type": cls.GET_SCHEMA().node_id, "inputs": inputs}}
    graph |= {name: {"class_type": "Give", "inputs": {"value": name}} for name in ("a", "b")}
    return run_graph(graph, nodes=[defined(cls), defined(Give), defined(Show)], outputs=["1"], **more)


def returning(value: object, outputs: int = 1, *, fail: bool = False) -> type[io.ComfyNode]:
    class Returning(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> io.Schema:
            return io.Schema("Returning", outputs=[io.Int.Output() for _ in range(outputs)], is_output_node=True)

        @classmethod
        def execute(cls) -> Any:
            return value

    return Returning


@pytest.mark.parametrize(
    ("value", "count", "outputs", "ui"),
    [
        (io.NodeOutput(1), 1, [[1]], None),
        (io.NodeOutput(1, 2), 2, [[1], [2]], None),
        (io.NodeOutput((1, 2)), 2, [[1], [2]], None),
        (io.NodeOutput((1, 2)), 1, [[(1, 2)]], None),
        (io.NodeOutput(1, ui={"text": ("a",)}), 1, [[1]], {"text": ["a"]}),
        (io.NodeOutput(ui={"text": ["a"]}), 1, [[None]], {"text": ["a"]}),
        (io.NodeOutput(), 0, [], None),
        (None, 0, [], None),
        ((1, 2), 2, [[1], [2]], None),
        ({"result": (1,), "ui": {"text": ["a"]}}, 1, [[1]], {"text": ["a"]}),
        ({"ui": {"text": ["a"]}}, 0, [], {"text": ["a"]}),
        (7, 1, [[7]], None),
    ],
)
def test_return_values(value: object, count: int, outputs: list[Any], ui: Any) -> None:
    run = run_one(returning(value, count), {})
    assert run.status == "done", run.error
    assert run.outputs["1"] == outputs
    assert run.ui.get("1") == ui


def test_too_few_values() -> None:
    run = run_one(returning(io.NodeOutput(1), 2), {})
    assert isinstance(run.exception, WrongReturnValue)
    assert run.error is not None
    assert run.error.node_id == "1"
    assert "Returning returned 1 where 2 outputs (INT, INT) are due." in run.error.exception_message


class Dynamic(io.ComfyNode):
    got: dict[str, object] = {}  # noqa: RUF012 - written by the node

    @classmethod
    def define_schema(cls) -> io.Schema:
        template = io.MatchType.Template("T")
        return io.Schema(
            "Dynamic",
            inputs=[
                io.DynamicCombo.Input(
                    "mode",
                    options=[
                        io.DynamicCombo.Option("plain", []),
                        io.DynamicCombo.Option(
                            "many",
                            [
                                io.Autogrow.Input(
                                    "items", template=io.Autogrow.TemplatePrefix(io.AnyType.Input("i"), "item_", min=1)
                                ),
                                io.Int.Input("n", default=1, min=0, optional=True),
                            ],
                        ),
                    ],
                ),
                io.Autogrow.Input(
                    "extra", optional=True,
                    template=io.Autogrow.TemplateNames(io.MatchType.Input("x", template=template), ["x", "y"], min=0),
                ),
            ],
            outputs=[io.MatchType.Output(template=template)],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def validate_inputs(cls, mode: dict[str, object]) -> bool | str:
        return True if mode.get("n", 0) != 13 else f"{mode} is unlucky"

    @classmethod
    def fingerprint_inputs(cls, mode: dict[str, object], extra: dict[str, object]) -> str:
        return f"{mode} {extra}"

    @classmethod
    def execute(cls, mode: dict[str, object], extra: dict[str, object]) -> io.NodeOutput:
        return io.NodeOutput(None, ui={"got": [mode, extra]})


def test_nested_values() -> None:
    run = run_one(
        Dynamic,
        {
            "mode": "many",
            "mode.items.item_0": ["a", 0],
            "mode.items.item_3": ["b", 0],
            "mode.n": 2,
            "extra.y": ["a", 0],
        },
    )
    assert run.ui["1"] == {
        "got": [{"mode": "many", "items": {"item_0": "a", "item_3": "b"}, "n": 2}, {"y": "a"}]
    }  # fmt: skip
    assert run_one(Dynamic, {"mode": "plain"}).ui["1"] == {"got": [{"mode": "plain"}, {}]}


async def test_validators_see_nested_values() -> None:
    async with kernel_in_memory([defined(Dynamic), defined(Give)]) as kernel:
        graph: Any = {
            "a": {"class_type": "Give", "inputs": {"value": 1}},
            "1": {"class_type": "Dynamic", "inputs": {"mode": "many", "mode.items.item_0": ["a", 0], "mode.n": 13}},
        }
        with pytest.raises(InvalidPrompt) as caught:
            await kernel.submit(PromptRequest(graph=graph))
    (error,) = caught.value.node_errors["1"]["errors"]  # type: ignore[index,call-overload]
    assert error["type"] == "custom_validation_failed"  # type: ignore[index]
    assert error["details"] == "mode - {'mode': 'many', 'n': 13, 'items': {'item_0': None}} is unlucky"  # type: ignore[index]


class Hiding(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema("Hiding", hidden=[io.Hidden.unique_id, io.Hidden.dynprompt], is_output_node=True)

    @classmethod
    def execute(cls) -> io.NodeOutput:
        seen: list[object] = []
        thread = threading.Thread(target=lambda: seen.append(cls.hidden.unique_id))
        thread.start()
        thread.join()
        node = cls.hidden.dynprompt.get_node("1")
        return io.NodeOutput(
            ui={
                "seen": [
                    *seen,
                    node["class_type"],
                    sorted(cls.hidden.prompt),
                    cls.hidden.extra_pnginfo,
                    cls.SCHEMA.node_id,
                ]
            }
        )


def test_what_the_engine_tells() -> None:
    run = run_one(Hiding, {}, extra_data={"extra_pnginfo": {"workflow": {"id": 1}}})
    assert run.ui["1"] == {"seen": ["1", "Hiding", ["1", "a", "b"], {"workflow": {"id": 1}}, "Hiding"]}
    assert Hiding.hidden.unique_id is None, "the class itself is left alone"


class Choosing(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        group = io.Autogrow.TemplatePrefix(io.AnyType.Input("v", lazy=True), "v", min=0)
        return io.Schema(
            "Choosing",
            inputs=[io.Int.Input("which"), io.Autogrow.Input("values", template=group)],
            outputs=[io.AnyType.Output()],
        )

    @classmethod
    def check_lazy_status(cls, which: int, values: dict[str, object]) -> list[str]:
        return [f"v{which}"] if values[f"v{which}"] is None else []

    @classmethod
    def execute(cls, which: int, values: dict[str, object]) -> io.NodeOutput:
        return io.NodeOutput(values[f"v{which}"])


def test_lazy_inputs_of_a_group() -> None:
    run = run_one(Choosing, {"which": 1, "values.v0": ["a", 0], "values.v1": ["b", 0]})
    assert run.value("1") == "b"
    assert "a" not in run.ran


class Slow(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema("Slow", inputs=[io.Int.Input("n")], outputs=[io.Int.Output()], is_output_node=True)

    @classmethod
    async def execute(cls, n: int) -> io.NodeOutput:
        api = ComfyAPI()
        for step in range(n):
            await asyncio.sleep(0)
            await api.execution.set_progress(step + 1, n, preview_image=torch.full((1, 4, 600, 3), 0.5))
        return io.NodeOutput(n)


class Steps(Slow):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema("Steps", inputs=[io.Int.Input("n")], outputs=[io.Int.Output()], is_output_node=True)

    @classmethod
    def execute(cls, n: int) -> io.NodeOutput:  # type: ignore[override]
        picture = Image.fromarray(np.zeros((4, 600, 3), np.uint8))
        for step in range(n):
            ComfyAPISync().execution.set_progress(step + 1, n, preview_image=picture, ignore_size_limit=True)
        return io.NodeOutput(n)


@pytest.mark.parametrize(("cls", "width"), [(Slow, 512), (Steps, 600)])
def test_progress_with_pictures(cls: type[io.ComfyNode], width: int) -> None:
    run = run_one(cls, {"n": 2})
    assert run.value("1") == 2
    assert [event.value for event in run.events if isinstance(event, NodeProgress)] == [0.0, 1.0, 2.0, 2.0]
    previews = [event for event in run.events if isinstance(event, NodePreview)]
    assert len(previews) == 2
    assert Image.open(files.BytesIO(previews[0].image)).width == width


class Growing(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            "Growing",
            inputs=[io.Int.Input("n")],
            outputs=[io.AnyType.Output()],
            enable_expand=True,
            is_output_node=True,
        )

    @classmethod
    def execute(cls, n: int) -> io.NodeOutput:
        graph = GraphBuilder()
        inner = graph.node("Give", value=n)
        return io.NodeOutput(graph.node("Give", value=inner.out(0)).out(0), expand=graph.finalize())


def test_expansion_and_blocking() -> None:
    assert run_one(Growing, {"n": 5}).value("1") == 5
    graph = {
        "1": {"class_type": "Returning", "inputs": {}}, "2": {"class_type": "Show", "inputs": {"value": ["1", 0]}},
    }  # fmt: skip
    nodes = [defined(returning(io.NodeOutput(block_execution="closed"))), defined(Show)]
    run = run_graph(graph, nodes=nodes)
    assert run.status == "done"
    assert [getattr(event, "exception_message", "") for event in run.events if "closed" in str(event)] == [
        "Execution Blocked: closed"
    ]


def test_lists_and_inputs_of_any_name() -> None:
    class Listing(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> io.Schema:
            return io.Schema(
                "Listing",
                inputs=[io.Int.Input("n"), io.DynamicCombo.Input("m", options=[io.DynamicCombo.Option("x")])],
                outputs=[io.Int.Output(is_output_list=True)],
                is_input_list=True,
                accept_all_inputs=True,
                is_output_node=True,
            )

        @classmethod
        def execute(cls, n: list[int], m: dict[str, list[str]], **more: object) -> io.NodeOutput:
            return io.NodeOutput([*n, *n], ui={"got": [m, more]})

    run = run_one(Listing, {"n": 1, "m": "x", "else": 3, "link": ["a", 0]})
    assert run.outputs["1"] == [[1, 1]]
    assert run.ui["1"] == {"got": [{"m": ["x"]}, {"else": [3], "link": ["a"]}]}


def test_change_tokens_and_nodes_that_always_run() -> None:
    runner = GraphRunner([defined(Dynamic), defined(Give), defined(Counting)])
    graph: Any = {
        "1": {"class_type": "Dynamic", "inputs": {"mode": "plain"}},
        "2": {"class_type": "Counting", "inputs": {}},
    }
    assert runner.run(graph).cached == []
    assert runner.run(graph).cached == ["1"]


class Counting(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema("Counting", not_idempotent=True, is_output_node=True)

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput()
