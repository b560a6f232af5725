"""Low-rank changes of weights."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from comfykernel_compat_comfyui.diffusion_bridge.pack_sampling import model_of
from comfykernel_compat_comfyui.diffusion_bridge.weight_changes import (
    patch_of,
    read_lora,
    text_key_map,
    unet_key_map,
)

log = logging.getLogger(__name__)


def load_lora(lora: Mapping[str, Tensor], to_load: Mapping[str, Any], log_missing: bool = True) -> dict[str, Any]:
    """Patches by the name of the weight; ``to_load``: names in the file -> names of weights."""
    patches, used = read_lora(lora, to_load)
    left = [name for name in lora if name not in used]
    if left and log_missing:
        log.warning("%d tensors of a LoRA fit nothing, such as %s.", len(left), left[0])
    return patches


def model_lora_keys_unet(model: Any, key_map: dict[str, Any] | None = None) -> dict[str, Any]:
    """Names in LoRA files -> names of a diffusion model's weights."""
    return unet_key_map(model_of(model), {} if key_map is None else key_map)


def model_lora_keys_clip(model: Any, key_map: dict[str, Any] | None = None) -> dict[str, Any]:
    """Names in LoRA files -> names of text models' weights."""
    return text_key_map(model.handle, {} if key_map is None else key_map)


def calculate_weight(
    patches: Sequence[Any], weight: Tensor, key: str, intermediate_dtype: Any = None, original_weights: Any = None
) -> Tensor:
    """A weight with patches ``(strength, patch, strength of the weight, offset, function)`` laid over it."""
    result = weight
    for strength, patch, strength_model, *_ in patches:
        if strength_model != 1.0:
            result = result * strength_model
        result = patch_of(patch, strength).apply(result.float()).to(weight.dtype)
    return result
