"""Handles of models."""

from __future__ import annotations

from comfykernel_compat_comfyui.diffusion_bridge.patcher import (
    ModelPatcher,
    create_model_options_clone,
    set_model_options_patch_replace,
    set_model_options_post_cfg_function,
    set_model_options_pre_cfg_function,
)

from .patcher_extension import PatcherInjection

__all__ = [
    "ModelPatcher",
    "PatcherInjection",
    "create_model_options_clone",
    "set_model_options_patch_replace",
    "set_model_options_post_cfg_function",
    "set_model_options_pre_cfg_function",
]
