"""Hands the family to comfykernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfykernel_sdk.hooks import hookimpl

if TYPE_CHECKING:
    from comfykernel_sdk.hooks import RegisterModelFamily


@hookimpl
def register_model_families(register: RegisterModelFamily) -> None:
    """Called when models are first loaded; the architecture imports torch, so it is imported here."""
    from .architecture import ColourFamily

    register(ColourFamily())
