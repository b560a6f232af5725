"""Version 0.0.2 of the interface: what the newest one has."""

from __future__ import annotations

from ..latest import (
    IO,
    UI,
    ComfyAPI,
    ComfyAPI_latest,
    ComfyAPISync,
    ComfyExtension,
    Input,
    InputImpl,
    Types,
    io,
    ui,
)

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
