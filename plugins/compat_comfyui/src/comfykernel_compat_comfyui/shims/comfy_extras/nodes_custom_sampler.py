"""Noise and guiders of runs that are put together from parts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from comfykernel_compat_comfyui.diffusion_bridge.pack_sampling import CFGGuider
from comfykernel_compat_comfyui.lacking_names import node_or_missing
from comfykernel_compat_comfyui.shims.comfy.sample import prepare_noise


class Noise_EmptyNoise:
    """No noise."""

    def __init__(self) -> None:
        self.seed = 0

    def generate_noise(self, input_latent: dict[str, Any]) -> Tensor:
        """Zeros in the shape of a latent."""
        return torch.zeros_like(input_latent["samples"], device="cpu")


class Noise_RandomNoise:
    """Noise of a seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def generate_noise(self, input_latent: dict[str, Any]) -> Tensor:
        """Noise in the shape of a latent."""
        return prepare_noise(input_latent["samples"], self.seed, input_latent.get("batch_index"))


class Guider_Basic(CFGGuider):
    """Guides by one condition."""

    def set_conds(self, positive: Any, negative: Any = None) -> None:
        """Use this condition."""
        self.inner_set_conds({"positive": positive})


def __getattr__(name: str) -> Any:
    """A node of comfykernel as a class."""
    return node_or_missing("comfy_extras.nodes_custom_sampler", name)
