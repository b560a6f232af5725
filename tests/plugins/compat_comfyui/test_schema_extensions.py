"""Packs with an entry function: their extension, their nodes, the ids that they replace."""

from __future__ import annotations

import asyncio
from types import ModuleType
from typing import Any

import pytest

from comfykernel_compat_comfyui.schema_nodes import extension_nodes, replacements_of
from comfykernel_compat_comfyui.schema_nodes.replacements import replacement
from comfykernel_compat_comfyui.shims.comfy_api.latest import ComfyAPI, ComfyAPISync, ComfyExtension, io
from comfykernel_sdk.errors import PluginError
from comfykernel_sdk.nodes import Replacement


class Node(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema("Node")


class Extension(ComfyExtension):
    loaded = 0

    async def on_load(self) -> None:
        await asyncio.sleep(0)
        self.loaded += 1
        await ComfyAPI().node_replacement.register(io.NodeReplace(new_node_id="Node", old_node_id="OldNode"))
        ComfyAPISync().node_replacement.register(io.NodeReplace(new_node_id="Node", old_node_id="OlderNode"))

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        assert self.loaded == 1
        return [Node]


def pack(entry: Any, name: str = "custom_nodes.some_pack") -> ModuleType:
    module = ModuleType(name)
    module.comfy_entrypoint = entry  # type: ignore[attr-defined]
    return module


def test_entry_functions() -> None:
    async def entry() -> ComfyExtension:
        return Extension()

    assert extension_nodes(pack(entry)) == [Node]
    assert extension_nodes(pack(Extension)) == [Node]
    expected = [Replacement(old="OldNode", new="Node"), Replacement(old="OlderNode", new="Node")]
    assert replacements_of("custom_nodes.some_pack", "some_pack") == expected, "once, though loaded twice"
    assert replacements_of("custom_nodes.other") == []


async def test_inside_of_an_event_loop() -> None:
    assert extension_nodes(pack(Extension, "custom_nodes.looped")) == [Node]


def test_packs_that_give_something_else() -> None:
    class Odd(ComfyExtension):
        async def get_node_list(self) -> list[Any]:
            return [Node, dict]

    class Failing(ComfyExtension):
        async def on_load(self) -> None:
            raise RuntimeError("no network")

    with pytest.raises(PluginError, match="gives 7, which is no ComfyExtension"):
        extension_nodes(pack(lambda: 7))
    with pytest.raises(PluginError, match="gives what is no node class"):
        extension_nodes(pack(Odd))
    with pytest.raises(RuntimeError, match="no network"):
        extension_nodes(pack(Failing))
    with pytest.raises(NotImplementedError, match="has no get_node_list"):
        extension_nodes(pack(ComfyExtension))


def test_replacements_in_the_form_of_the_sdk() -> None:
    given = io.NodeReplace(
        new_node_id="New", old_node_id="Old", old_widget_ids=["a", "b"],
        input_mapping=[
            {"new_id": "mode", "set_value": "x"},
            {"new_id": "mode.n", "old_id": "a"},
            {"new_id": "image", "old_id": "i"},
        ],
        output_mapping=[{"new_idx": 1, "old_idx": 0}, {"new_idx": 2, "old_idx": 0}],
    )  # fmt: skip
    assert replacement(given) == Replacement(
        old="Old", new="New", inputs={"mode.n": "a", "image": "i"}, values={"mode": "x"}, outputs={0: 1},
        widgets=["a", "b"],
    )  # fmt: skip
