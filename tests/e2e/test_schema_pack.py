"""A node pack with schemas, unchanged in ``custom_nodes/`` of a real server."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.e2e.conftest import Server

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PACK = """
import asyncio
from typing_extensions import override
from comfy_api.latest import ComfyAPI, ComfyExtension, io, ui

Card = io.Custom("SCHEMA_CARD")


class MakeCard(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema("SchemaCard", inputs=[io.String.Input("text")], outputs=[Card.Output()])

    @classmethod
    def execute(cls, text):
        return io.NodeOutput(text)


class Join(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        group = io.Autogrow.TemplatePrefix(Card.Input("card"), prefix="card", min=1, max=3)
        return io.Schema(
            "SchemaJoin", display_name="Join cards",
            inputs=[
                io.Autogrow.Input("cards", template=group),
                io.DynamicCombo.Input("mode", options=[
                    io.DynamicCombo.Option("plain", []),
                    io.DynamicCombo.Option("times", [io.Int.Input("n", default=2, min=1, max=5)]),
                ]),
            ],
            outputs=[Card.Output(display_name="joined")],
        )

    @classmethod
    async def execute(cls, cards, mode):
        await ComfyAPI().execution.set_progress(1, 2)
        await asyncio.sleep(0)
        return io.NodeOutput("+".join(cards.values()) * mode.get("n", 1))


class Show(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            "SchemaShow",
            inputs=[io.AnyType.Input("value"), io.Image.Input("image", optional=True)],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, value, image=None):
        if image is None:
            return io.NodeOutput(ui=ui.PreviewText(f"{value} {cls.hidden.prompt['1']['class_type']}"))
        return io.NodeOutput(ui=ui.PreviewImage(image, cls=cls))


class Extension(ComfyExtension):
    @override
    async def on_load(self):
        await ComfyAPI().node_replacement.register(io.NodeReplace(
            new_node_id="SchemaJoin", old_node_id="JoinTwo",
            input_mapping=[
                {"new_id": "cards.card0", "old_id": "a"},
                {"new_id": "cards.card1", "old_id": "b"},
                {"new_id": "mode", "set_value": "plain"},
            ],
        ))

    @override
    async def get_node_list(self):
        return [MakeCard, Join, Show]


async def comfy_entrypoint():
    return Extension()
"""
BROKEN = """
from comfy_api.latest import ComfyExtension, io


class Broken(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema("SchemaBroken", inputs=[io.Int.Input("a"), io.Int.Input("a")])


class Extension(ComfyExtension):
    async def get_node_list(self):
        return [Broken]


def comfy_entrypoint():
    return Extension()
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, pack_site: Callable[[str], Path]) -> Iterator[Server]:
    base = tmp_path_factory.mktemp("schema")
    for name, code in (("schema-pack", PACK), ("broken-pack", BROKEN)):
        (base / "custom_nodes" / name / "locales" / "de").mkdir(parents=True)
        (base / "custom_nodes" / name / "__init__.py").write_text(code)
        (base / "custom_nodes" / name / "locales" / "de" / "main.json").write_text(f'{{"{name}": "da"}}')
    server = Server(base, pack_site("contract_nodes"))
    server.start()
    yield server
    server.stop()


def graph(x: dict[str, Any], **show: Any) -> dict[str, Any]:
    return {
        "1": {"class_type": "SchemaCard", "inputs": {"text": "a"}},
        "2": {"class_type": "SchemaCard", "inputs": {"text": "b"}},
        "x": x,
        "show": {"class_type": "SchemaShow", "inputs": {"value": ["x", 0], **show}},
    }


def joined(inputs: dict[str, Any], class_type: str = "SchemaJoin") -> dict[str, Any]:
    return graph({"class_type": class_type, "inputs": inputs})


def test_nodes_are_there_with_their_pack(served: Server) -> None:
    info = served.http.get("/object_info").json()
    assert info["SchemaJoin"]["python_module"] == "custom_nodes.schema-pack"
    assert info["SchemaJoin"]["input"]["required"]["cards"][0] == "COMFY_AUTOGROW_V3"
    assert info["SchemaShow"]["input"]["hidden"] == {"prompt": ["PROMPT"], "extra_pnginfo": ["EXTRA_PNGINFO"]}
    assert "SchemaBroken" not in info
    assert "none comes twice" in served.log()
    assert served.http.get("/i18n").json()["de"] == {"schema-pack": "da", "broken-pack": "da"}


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        (joined({"cards.card0": ["1", 0], "cards.card2": ["2", 0], "mode": "plain"}), "a+b SchemaCard"),
        (joined({"cards.card0": ["1", 0], "mode": "times", "mode.n": 3}), "aaa SchemaCard"),
        (joined({"a": ["1", 0], "b": ["2", 0]}, "JoinTwo"), "a+b SchemaCard"),
    ],
)
def test_prompts_run(served: Server, prompt: dict[str, Any], text: str) -> None:
    entry = served.history(served.post(prompt))
    assert entry["outputs"]["show"]["text"] == [text]


def test_pictures_are_shown(served: Server) -> None:
    picture = {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 4, "batch_size": 1, "color": 255}}
    entry = served.history(served.post(graph(picture, image=["x", 0])))
    (shown,) = entry["outputs"]["show"]["images"]
    data = served.http.get("/view", params=shown).content
    assert Image.open(io.BytesIO(data)).getpixel((0, 0)) == (0, 0, 255)


def test_bad_prompts_are_refused(served: Server) -> None:
    answer = served.http.post("/prompt", json={"prompt": joined({"mode": "times", "mode.n": 6})})
    errors = answer.json()["node_errors"]["x"]["errors"]
    assert [(error["type"], error["extra_info"]["input_name"]) for error in errors] == [
        ("required_input_missing", "cards.card0"), ("value_bigger_than_max", "mode.n"),
    ]  # fmt: skip
