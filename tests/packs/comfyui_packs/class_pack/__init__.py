"""Every quirk of the class protocol, as data for tests: loaded as a node pack, never imported as a module."""

import asyncio
import math
import os

import folder_paths
from comfy_execution.graph import ExecutionBlocker
from comfy_execution.graph_utils import GraphBuilder

import comfy.utils

from .types import ANY, EITHER, AnyInputs, AtAnyIndex

WEB_DIRECTORY = "./js"


class Echo:
    CATEGORY = "class pack"
    DESCRIPTION = "Gives the value."
    FUNCTION = "run"
    RETURN_TYPES = ("STRING",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": ("STRING", {"default": "", "multiline": True})}}

    def run(self, value):
        return (value,)


class Show:
    FUNCTION = "run"
    OUTPUT_NODE = True
    RETURN_TYPES = ()

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": (ANY,)}}

    def run(self, value):
        return {"ui": {"text": [str(value)]}}


class TakesEither:
    FUNCTION = "run"
    RETURN_TYPES = (ANY,)
    RETURN_NAMES = ("whatever",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": (EITHER,)}}

    def run(self, value):
        return (value,)


class Variadic:
    FUNCTION = "run"
    RETURN_TYPES = ("STRING",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}, "optional": AnyInputs(ANY)}

    def run(self, **kwargs):
        return (",".join(f"{name}={value}" for name, value in sorted(kwargs.items())),)


class LinksOnly:
    FUNCTION = "run"
    RETURN_TYPES = ("STRING",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def run(self, **kwargs):
        return (",".join(f"{name}={value}" for name, value in sorted(kwargs.items())),)


class Joined:
    FUNCTION = "run"
    INPUT_IS_LIST = True
    OUTPUT_IS_LIST = (False, True)
    RETURN_TYPES = ("STRING", "STRING")

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"values": ("STRING", {"forceInput": True}), "by": (["+", "-"],)}}

    def run(self, values, by):
        return (by[0].join(values), values)


class Choose:
    FUNCTION = "run"
    RETURN_TYPES = ("STRING",)

    @classmethod
    def INPUT_TYPES(cls):
        lazy = {"forceInput": True, "lazy": True}
        return {"required": {"first": ("BOOLEAN", {"default": True}), "a": ("STRING", lazy), "b": ("STRING", lazy)}}

    def check_lazy_status(self, first, **kwargs):
        return ["a" if first else "b"]

    def run(self, first, a=None, b=None):
        return (f"{a}/{b}",)


class Repeat:
    FUNCTION = "run"
    RETURN_TYPES = ("STRING",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": ("STRING", {"default": "x"}), "times": ("INT", {"default": 2, "min": 1, "max": 9})}}

    def run(self, value, times):
        graph = GraphBuilder()
        node = graph.node("Echo", value=value)
        for _ in range(times - 1):
            node = graph.node("Echo", value=node.out(0))
        return {"result": (node.out(0),), "expand": graph.finalize()}


class Late:
    FUNCTION = "run"
    RETURN_TYPES = ("STRING",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": ("STRING", {"default": ""})}, "hidden": {"id": "UNIQUE_ID"}}

    async def run(self, value, id):
        bar = comfy.utils.ProgressBar(2, node_id=id)
        bar.update(1)
        await asyncio.sleep(0)
        bar.update_absolute(2)
        return (value,)


class Checked:
    FUNCTION = "run"
    OUTPUT_NODE = True
    RETURN_TYPES = ("INT",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"number": ("INT", {"default": 0, "min": 0, "max": 3}), "other": ("INT", {"default": 0})}}

    @classmethod
    def VALIDATE_INPUTS(cls, number):
        return True if number != 13 else "thirteen brings bad luck"

    @classmethod
    def IS_CHANGED(cls, number, other):
        return math.nan if other else number

    def run(self, number, other):
        return {"ui": {"numbers": [number, other]}, "result": (number,)}


class Blocks:
    FUNCTION = "run"
    RETURN_TYPES = ("STRING", "STRING")

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"message": ("STRING", {"default": ""})}}

    def run(self, message):
        return (ExecutionBlocker(message or None), "on")


class LeavesOut:
    FUNCTION = "run"
    RETURN_TYPES = ("STRING", "STRING")

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {}}

    def run(self):
        return ("only one",)


class NoTuple(LeavesOut):
    RETURN_TYPES = ("STRING",)

    def run(self):
        return "no tuple"


class ListsFiles:
    FUNCTION = "run"
    RETURN_TYPES = ("STRING",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"file": (sorted(os.listdir(folder_paths.get_input_directory())),)}}

    def run(self, file):
        return (file,)


class Fails:
    FUNCTION = "run"
    RETURN_TYPES = ()

    @classmethod
    def INPUT_TYPES(cls):
        raise OSError("the disk is gone")


class NoFunction:
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("a", "b", "c")

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"x": ("FLOAT", {"default": 1.0, "step": 0.1, "odd": {1, }})}, "extra": {"y": ("INT",)}}


class Spreads:
    FUNCTION = "run"
    RETURN_TYPES = AtAnyIndex(("INT", ANY))

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING",)}}

    def run(self, text):
        return (len(text), *text)


NODE_CLASS_MAPPINGS = {
    cls.__name__: cls
    for cls in (
        Echo, Show, TakesEither, Variadic, LinksOnly, Joined, Choose, Repeat, Late, Checked, Blocks, LeavesOut, NoTuple,
        ListsFiles, Fails, NoFunction, Spreads,
    )
}  # fmt: skip
NODE_DISPLAY_NAME_MAPPINGS = {"Echo": "Echo a text"}
