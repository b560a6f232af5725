"""What runs need besides: conditions in the form of runs, masks, models."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from comfykernel_compat_comfyui.diffusion_bridge.library import fitted_mask
from comfykernel_compat_comfyui.shims.comfy.utils import repeat_to_batch_size


def convert_cond(cond: Sequence[Any]) -> list[dict[str, Any]]:
    """Conditions as dicts: the tokens stand under ``cross_attn``."""
    converted = []
    for tokens, entries, *_ in cond:
        entry = dict(entries)
        model_conds = dict(entry.get("model_conds", {}))
        if tokens is not None:
            entry["cross_attn"] = tokens
        entry |= {"model_conds": model_conds, "uuid": uuid.uuid4()}
        converted.append(entry)
    return converted


def prepare_mask(noise_mask: Tensor, shape: Sequence[int], device: Any) -> Tensor:
    """A mask in the shape of a latent."""
    mask = fitted_mask(noise_mask, shape[-2], shape[-1])
    return repeat_to_batch_size(mask.repeat(1, shape[1], 1, 1), shape[0]).to(device)


def get_models_from_cond(cond: Iterable[Any], model_type: str) -> list[Any]:
    """Models that conditions carry: what is needed of comfykernel's own is loaded without being named."""
    entries = (each[1] if isinstance(each, (list, tuple)) else each for each in cond)
    found: list[Any] = []
    for entry in entries:
        value = entry.get(model_type)
        found += value if isinstance(value, list) else [value] if value is not None else []
    return found


def get_additional_models(conds: Any, dtype: torch.dtype | None = None) -> tuple[list[Any], float]:
    """Models that are needed besides, and the bytes that they take: none, they are loaded when they are used."""
    return [], 0.0


def get_additional_models_from_model_options(model_options: dict[str, Any] | None = None) -> list[Any]:
    """Models that options name: none."""
    return []


def cleanup_additional_models(models: Iterable[Any]) -> None:
    """Let models that were needed besides clean up."""
    for model in models:
        if hasattr(model, "cleanup"):
            model.cleanup()


def prepare_sampling(model: Any, noise_shape: Any, conds: Any, model_options: Any = None) -> tuple[Any, Any, list[Any]]:
    """What a run starts from: nothing is to be prepared."""
    return model.model, conds, []


def cleanup_models(conds: Any, models: Iterable[Any]) -> None:
    """Let models that were needed besides clean up."""
    cleanup_additional_models(models)
