"""Types, inputs, outputs, schemas: what packs know as ``io``."""

from __future__ import annotations

from comfykernel_compat_comfyui.missing_names import missing_attribute
from comfykernel_compat_comfyui.schema_nodes.comfy_node import ComfyNode, as_node_output
from comfykernel_compat_comfyui.schema_nodes.dynamic_types import Autogrow, DynamicCombo, MatchType, MultiType
from comfykernel_compat_comfyui.schema_nodes.io_types import (
    ComfyType,
    ComfyTypeI,
    ComfyTypeIO,
    ControlAfterGenerate,
    Custom,
    FolderType,
    Input,
    NumberDisplay,
    Output,
    UploadType,
    WidgetInput,
    comfytype,
    prune_dict,
)
from comfykernel_compat_comfyui.schema_nodes.node_output import NodeOutput, _UIOutput
from comfykernel_compat_comfyui.schema_nodes.schema import (
    Hidden,
    HiddenHolder,
    NodeReplace,
    PriceBadge,
    PriceBadgeDepends,
    Schema,
)
from comfykernel_compat_comfyui.schema_nodes.socket_types import TYPES
from comfykernel_compat_comfyui.schema_nodes.widgets import (
    Boolean,
    BoundingBox,
    Color,
    Combo,
    Curve,
    Float,
    Histogram,
    ImageCompare,
    Int,
    MultiCombo,
    RemoteOptions,
    String,
    Webcam,
)

_ComfyType = ComfyType
_ComfyNodeInternal = _ComfyNodeBaseInternal = ComfyNode
globals().update(TYPES)

__all__ = [
    "Autogrow", "Boolean", "BoundingBox", "Color", "Combo", "ComfyNode", "ComfyType", "ComfyTypeI", "ComfyTypeIO",
    "ControlAfterGenerate", "Curve", "Custom", "DynamicCombo", "Float", "FolderType", "Hidden", "HiddenHolder",
    "Histogram", "ImageCompare", "Input", "Int", "MatchType", "MultiCombo", "MultiType", "NodeOutput", "NodeReplace",
    "NumberDisplay", "Output", "PriceBadge", "PriceBadgeDepends", "RemoteOptions", "Schema", "String", "UploadType",
    "Webcam", "WidgetInput", "as_node_output", "comfytype", "prune_dict", "_UIOutput", *TYPES,
]  # fmt: skip


def __getattr__(name: str) -> object:
    raise missing_attribute("comfy_api.latest.io", name)
