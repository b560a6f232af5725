"""Offers the shipped checkpoint among the models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfykernel_sdk.hooks import hookimpl

from . import CHECKPOINTS

if TYPE_CHECKING:
    from comfykernel_sdk.hooks import RegisterModelFolder


@hookimpl
def register_model_folders(register: RegisterModelFolder) -> None:
    """Add the folder with ``demo.safetensors`` to the checkpoints."""
    register("checkpoints", CHECKPOINTS)
