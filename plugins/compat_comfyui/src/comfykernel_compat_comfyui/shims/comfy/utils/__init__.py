"""Progress, resizing, tiles, tensors of state dicts, files of tensors."""

from __future__ import annotations

from .attributes import copy_to_param, get_attr, set_attr, set_attr_param
from .batches import repeat_to_batch_size, resize_to_batch_size, string_to_seed
from .progress import ProgressBar, set_progress_bar_enabled, set_progress_bar_global_hook
from .resizing import bislerp, common_upscale, lanczos
from .state_dicts import (
    TRANSFORMER_BLOCKS,
    UNET_MAP_ATTENTIONS,
    UNET_MAP_BASIC,
    UNET_MAP_RESNET,
    calculate_parameters,
    state_dict_key_replace,
    state_dict_prefix_replace,
    unet_to_diffusers,
    weight_dtype,
)
from .tensor_files import convert_sd_to, load_torch_file, safetensors_header, save_torch_file
from .tiles import get_tiled_scale_steps, tiled_scale, tiled_scale_multidim

__all__ = [
    "PROGRESS_BAR_ENABLED",
    "TRANSFORMER_BLOCKS",
    "UNET_MAP_ATTENTIONS",
    "UNET_MAP_BASIC",
    "UNET_MAP_RESNET",
    "ProgressBar",
    "bislerp",
    "calculate_parameters",
    "common_upscale",
    "convert_sd_to",
    "copy_to_param",
    "get_attr",
    "get_tiled_scale_steps",
    "lanczos",
    "load_torch_file",
    "repeat_to_batch_size",
    "resize_to_batch_size",
    "safetensors_header",
    "save_torch_file",
    "set_attr",
    "set_attr_param",
    "set_progress_bar_enabled",
    "set_progress_bar_global_hook",
    "state_dict_key_replace",
    "state_dict_prefix_replace",
    "string_to_seed",
    "tiled_scale",
    "tiled_scale_multidim",
    "unet_to_diffusers",
    "weight_dtype",
]

PROGRESS_BAR_ENABLED = True
"""Whether bars are drawn in the terminal; packs read and set it."""
