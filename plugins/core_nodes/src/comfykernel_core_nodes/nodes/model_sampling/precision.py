"""The node that chooses the precision of a model."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Final

import torch

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.sockets import Model
from comfykernel_sdk.sockets import Choice

DTYPES: Final[dict[str, torch.dtype | None]] = {
    "default": None,
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}


@extra_node("nodes_model_advanced")(
    "ModelComputeDtype", category="advanced/debug/model", display_name="ModelComputeDtype"
)
def model_compute_dtype(model: Model, dtype: Annotated[str, Choice(*DTYPES, bare=True)]) -> Model:
    """Compute a model in another precision than the device's usual one."""
    return replace(model, weights=replace(model.weights, dtype=DTYPES[dtype]))
