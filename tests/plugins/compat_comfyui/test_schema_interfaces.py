"""What clients see of nodes with a schema."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Any

import msgspec
import pytest

from comfykernel_compat_comfyui.schema_nodes import is_schema_node, schema_definition
from comfykernel_compat_comfyui.shims.comfy_api.latest import ComfyExtension, _io, io, ui
from comfykernel_compat_comfyui.shims.comfy_api.v0_0_1 import io as first_io
from comfykernel_compat_comfyui.shims.comfy_api.v0_0_2 import IO as SECOND_IO
from comfykernel_sdk.testing import kernel_in_memory


class Blend(Enum):
    NORMAL = "normal"
    ADD = "add"


def node_of(*inputs: Any, **more: Any) -> type[io.ComfyNode]:
    class Node(io.ComfyNode):
        @classmethod
        def define_schema(cls) -> io.Schema:
            return io.Schema(**{"node_id": "Node", "inputs": list(inputs), **more})

    return Node


def info_of(cls: type, *, module: str = "custom_nodes.pack") -> dict[str, Any]:
    async def ask() -> bytes:
        async with kernel_in_memory([schema_definition(cls, python_module=module)]) as kernel:
            return (await kernel.object_info()).json

    (info,) = msgspec.json.decode(asyncio.run(ask())).values()
    return info


def test_all_members() -> None:
    node = node_of(
        io.Image.Input("image"), io.Mask.Input("mask", optional=True), outputs=[io.Image.Output(), io.Int.Output("n")]
    )
    assert info_of(node) == {
        "input": {"required": {"image": ["IMAGE", {}]}, "optional": {"mask": ["MASK", {}]}},
        "input_order": {"required": ["image"], "optional": ["mask"]},
        "output": ["IMAGE", "INT"],
        "output_is_list": [False, False],
        "output_name": ["IMAGE", "INT"],
        "output_tooltips": [None, None],
        "name": "Node",
        "display_name": None,
        "description": "",
        "python_module": "custom_nodes.pack",
        "category": "sd",
        "output_node": False,
        "deprecated": False,
        "experimental": False,
        "api_node": False,
    }


def test_flags_and_hidden() -> None:
    info = info_of(
        node_of(
            io.String.Input("text"), display_name="The Node", category="a/b", description="Does it.",
            outputs=[io.Image.Output("frames", display_name="Frames", tooltip="all", is_output_list=True)],
            hidden=[io.Hidden.unique_id], is_output_node=True, is_deprecated=True, is_experimental=True,
            is_input_list=True, search_aliases=["it"], is_dev_only=True, essentials_category="Basics",
            price_badge=io.PriceBadge(expr="1", depends_on=io.PriceBadgeDepends(widgets=["text"])),
        )
    )  # fmt: skip
    assert info["input"]["hidden"] == {
        "unique_id": ["UNIQUE_ID"], "prompt": ["PROMPT"], "extra_pnginfo": ["EXTRA_PNGINFO"],
    }  # fmt: skip
    assert info["input_order"]["hidden"] == ["unique_id", "prompt", "extra_pnginfo"]
    assert (info["display_name"], info["category"], info["description"]) == ("The Node", "a/b", "Does it.")
    assert (info["output_name"], info["output_is_list"], info["output_tooltips"]) == (["Frames"], [True], ["all"])
    assert (info["output_node"], info["deprecated"], info["experimental"]) == (True, True, True)
    assert (info["search_aliases"], info["is_input_list"], info["dev_only"]) == (["it"], True, True)
    assert info["essentials_category"] == "Basics"
    assert info["price_badge"] == {
        "engine": "jsonata", "expr": "1", "depends_on": {"widgets": ["text"], "inputs": [], "input_groups": []},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("declared", "shown"),
    [
        (io.Int.Input("x"), ["INT", {}]),
        (
            io.Int.Input(
                "x", default=1, min=0, max=8, step=2, display_mode=io.NumberDisplay.slider, control_after_generate=True,
                tooltip="t", display_name="X", lazy=True, raw_link=True, advanced=True, socketless=False,
                force_input=True, extra_dict={"more": 1},
            ),
            [
                "INT",
                {
                    "default": 1, "min": 0, "max": 8, "step": 2, "display": "slider", "control_after_generate": True,
                    "tooltip": "t", "display_name": "X", "lazy": True, "rawLink": True, "advanced": True,
                    "socketless": False, "forceInput": True, "more": 1,
                },
            ],
        ),
        (
            io.Int.Input("x", control_after_generate=io.ControlAfterGenerate.fixed),
            ["INT", {"control_after_generate": "fixed"}],
        ),
        (io.Float.Input("x", default=0.5, round=0.01), ["FLOAT", {"default": 0.5, "round": 0.01}]),
        (io.String.Input("x"), ["STRING", {"multiline": False}]),
        (
            io.String.Input("x", multiline=True, placeholder="p", dynamic_prompts=True),
            ["STRING", {"multiline": True, "placeholder": "p", "dynamicPrompts": True}],
        ),
        (io.Boolean.Input("x", default=True, label_on="a"), ["BOOLEAN", {"default": True, "label_on": "a"}]),
        (
            io.Combo.Input("x", options=["a", "b"], default="a"),
            ["COMBO", {"default": "a", "multiselect": False, "options": ["a", "b"]}],
        ),
        (
            io.Combo.Input("x", options=Blend, default=Blend.ADD),
            ["COMBO", {"default": "add", "multiselect": False, "options": ["normal", "add"]}],
        ),
        (
            io.Combo.Input("x", options=[], upload=io.UploadType.image, image_folder=io.FolderType.output),
            ["COMBO", {"multiselect": False, "image_upload": True, "image_folder": "output", "options": []}],
        ),
        (
            io.Combo.Input("x", remote=io.RemoteOptions(route="/r", refresh_button=True, timeout=5)),
            [
                "COMBO",
                {
                    "multiselect": False,
                    "remote": {"route": "/r", "refresh_button": True, "control_after_refresh": "first", "timeout": 5},
                },
            ],
        ),
        (
            io.MultiCombo.Input("x", options=["a"], default=["a"], chip=True),
            ["COMBO", {"default": ["a"], "multiselect": True, "multi_select": {"chip": True}, "options": ["a"]}],
        ),
        (io.Color.Input("x"), ["COLOR", {"default": "#ffffff", "socketless": True}]),
        (io.Curve.Input("x"), ["CURVE", {"default": {"points": [[0.0, 0.0], [1.0, 1.0]]}, "socketless": True}]),
        (io.AnyType.Input("x"), ["*", {}]),
        (io.Custom("MINE").Input("x", tooltip="t"), ["MINE", {"tooltip": "t"}]),
        (io.MultiType.Input("x", types=[io.Image, io.Mask, "MINE"]), ["IMAGE,MASK,MINE", {}]),
        (
            io.MultiType.Input(io.Float.Input("x", default=1.0, tooltip="t"), types=[io.Float, io.Int]),
            ["FLOAT,INT", {"default": 1.0, "tooltip": "t", "widgetType": "FLOAT"}],
        ),
        (
            io.MatchType.Input("x", template=io.MatchType.Template("T", [io.Image, io.Mask]), tooltip="t"),
            ["COMFY_MATCHTYPE_V3", {"tooltip": "t", "template": {"template_id": "T", "allowed_types": "IMAGE,MASK"}}],
        ),
        (
            io.Autogrow.Input("x", template=io.Autogrow.TemplatePrefix(io.Image.Input("i"), prefix="i_", min=0, max=3)),
            [
                "COMFY_AUTOGROW_V3",
                {"template": {"input": {"required": {"i": ["IMAGE", {}]}}, "prefix": "i_", "min": 0, "max": 3}},
            ],
        ),
        (
            io.Autogrow.Input("x", template=io.Autogrow.TemplateNames(io.Float.Input("f"), names=["a", "b"], min=1)),
            [
                "COMFY_AUTOGROW_V3",
                {
                    "template": {
                        "input": {"required": {"f": ["FLOAT", {"forceInput": True}]}}, "names": ["a", "b"], "min": 1,
                    }
                },
            ],
        ),
        (
            io.DynamicCombo.Input(
                "x", tooltip="t",
                options=[
                    io.DynamicCombo.Option("off", []),
                    io.DynamicCombo.Option("on", [io.Int.Input("n", default=1), io.Image.Input("i", optional=True)]),
                ],
            ),
            [
                "COMFY_DYNAMICCOMBO_V3",
                {
                    "tooltip": "t",
                    "options": [
                        {"key": "off", "inputs": {"required": {}}},
                        {
                            "key": "on",
                            "inputs": {
                                "required": {"n": ["INT", {"default": 1}]}, "optional": {"i": ["IMAGE", {}]},
                            },
                        },
                    ],
                },
            ],
        ),
    ],
)  # fmt: skip
def test_inputs(declared: Any, shown: Any) -> None:
    assert info_of(node_of(declared))["input"]["required"] == {"x": shown}


def test_matched_outputs() -> None:
    template = io.MatchType.Template("T")
    info = info_of(
        node_of(
            io.MatchType.Input("x", template=template),
            outputs=[io.MatchType.Output(template=template, display_name="same"), io.Int.Output()],
        )
    )
    assert (info["output"], info["output_matchtypes"]) == (["COMFY_MATCHTYPE_V3", "INT"], ["T", None])
    assert info["output_name"] == ["same", "INT"]


def test_types_of_packs() -> None:
    @io.comfytype(io_type="MINE")
    class Mine(io.ComfyTypeIO):
        Type = dict

        class Input(io.WidgetInput):
            def __init__(self, id: str, shade: int = 0, **more: Any) -> None:
                super().__init__(id, **more)
                self.shade = shade

            def as_dict(self) -> dict[str, object]:
                return super().as_dict() | io.prune_dict({"shade": self.shade})

    info = info_of(node_of(Mine.Input("m", shade=3, default={}), outputs=[Mine.Output()]))
    assert info["input"]["required"] == {"m": ["MINE", {"default": {}, "shade": 3}]}
    assert info["output"] == ["MINE"]
    assert (io.Image.io_type, io.Image.Input("x").io_type) == ("IMAGE", "IMAGE"), "the base class is left alone"


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ([io.Int.Input("a"), io.Int.Input("a")], "none comes twice"),
        ([io.Int.Input("")], "must be texts"),
        (
            [io.DynamicCombo.Input("m", options=[io.DynamicCombo.Option("x", [io.Int.Input("a"), io.Int.Input("a")])])],
            "none comes twice",
        ),
    ],
)
def test_schemas_that_make_no_sense(inputs: list[Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        schema_definition(node_of(*inputs), python_module="m")


def test_groups_that_make_no_sense() -> None:
    for arguments in ({"prefix": "a", "max": 0}, {"prefix": "a", "max": 101}, {"prefix": "a", "min": 3, "max": 2}):
        with pytest.raises(ValueError, match="A growing group has 1 to 100 inputs"):
            io.Autogrow.TemplatePrefix(io.Image.Input("i"), **arguments)
    with pytest.raises(TypeError, match="inputs of their own"):
        io.Autogrow.TemplateNames(io.DynamicCombo.Input("m", options=[]), names=["a"])


def test_names_for_packs() -> None:
    assert first_io is SECOND_IO is io is _io
    assert {"Image", "Vae", "VAE", "CLIP", "File3DGLB", "Webcam", "LatentUpscaleModel"} <= set(_io.__all__)
    assert all(hasattr(io, name) for name in _io.__all__)
    assert is_schema_node(node_of())
    assert not is_schema_node(ComfyExtension)
    assert ui.SavedResult("a.png", "", io.FolderType.temp) == {"filename": "a.png", "subfolder": "", "type": "temp"}
    with pytest.raises(AttributeError, match=r"asks for comfy_api\.latest\.io\.Nonsense, which comfykernel does not"):
        _ = io.Nonsense


def test_packs_that_look_at_nodes_of_others() -> None:
    node = node_of(
        io.Image.Input("image"), io.Int.Input("n", optional=True), outputs=[io.Image.Output(), io.Int.Output()],
        is_output_node=True, category="c",
    )  # fmt: skip
    assert node.INPUT_TYPES() == {
        "required": {"image": ("IMAGE", {})}, "optional": {"n": ("INT", {})},
        "hidden": {"prompt": ("PROMPT",), "extra_pnginfo": ("EXTRA_PNGINFO",)},
    }  # fmt: skip
    assert (node.RETURN_TYPES, node.RETURN_NAMES, node.OUTPUT_NODE, node.CATEGORY) == (
        ("IMAGE", "INT"), ("IMAGE", "INT"), True, "c",
    )  # fmt: skip
    assert callable(getattr(node, node.FUNCTION))
    assert not hasattr(io.ComfyNode, "RETURN_TYPES")
