"""Helpers for compiled models."""

from __future__ import annotations

from collections.abc import Sequence

from comfykernel_compat_comfyui.missing_names import not_provided


def set_torch_compile_wrapper(model: object, *args: object, keys: Sequence[str] = (), **options: object) -> None:
    """Have a model compiled.

    Raises:
        NotProvided: always; models are not compiled here.
    """
    raise not_provided("comfy_api.torch_helpers.set_torch_compile_wrapper")
