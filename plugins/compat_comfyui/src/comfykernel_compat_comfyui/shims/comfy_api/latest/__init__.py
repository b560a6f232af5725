"""The newest version of the interface: nodes, what they show, what they ask the engine."""

from __future__ import annotations

from comfykernel_compat_comfyui.schema_nodes.extension import ComfyExtension
from comfykernel_compat_comfyui.schema_nodes.runtime_api import ComfyAPI, ComfyAPISync

from . import _io as io
from . import _ui as ui
from ._values import Input, InputImpl, Types

IO, UI = io, ui
ComfyAPI_latest, ComfyAPISyncStub = ComfyAPI, ComfyAPISync

__all__ = [
    "IO",
    "UI",
    "ComfyAPI",
    "ComfyAPISync",
    "ComfyAPI_latest",
    "ComfyExtension",
    "Input",
    "InputImpl",
    "Types",
    "io",
    "ui",
]
