"""The built-in model families, in the order in which they are asked."""

from __future__ import annotations

from typing import Final

from comfykernel_core_nodes.diffusion.families.autoencoders import KLAutoencoders, TinyAutoencoders
from comfykernel_core_nodes.diffusion.families.flux import Flux1
from comfykernel_core_nodes.diffusion.families.stable_diffusion import (
    StableDiffusion1,
    StableDiffusion2,
    StableDiffusion2Unclip,
    StableDiffusionXL,
    StableDiffusionXLRefiner,
)
from comfykernel_core_nodes.diffusion.families.stable_diffusion_3 import StableDiffusion3
from comfykernel_sdk.families import ModelFamily

__all__ = ["BUILT_IN", "sd1"]

sd1: Final = StableDiffusion1()

BUILT_IN: Final[tuple[ModelFamily, ...]] = (
    sd1,
    StableDiffusion2(),
    StableDiffusion2Unclip(),
    StableDiffusionXL(),
    StableDiffusionXLRefiner(),
    StableDiffusion3(),
    Flux1(),
    KLAutoencoders(),
    TinyAutoencoders(),
)
