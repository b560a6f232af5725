"""Widgets that nodes of custom sampling share."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from torch import Tensor

from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.samplers import Sampler
from comfykernel_core_nodes.nodes.sockets import MOST_STEPS
from comfykernel_sdk.sockets import Choice, Float, Int, Socket


def amount(default: float, *, min: float = 0.0, max: float = 100.0, step: float = 0.01) -> Float:
    """A number that clients keep as it was typed."""
    return Float(default=default, min=min, max=max, step=step, options={"round": False})


OpenModel: TypeAlias = Annotated[DiffusionModel, Socket("MODEL", bare=False)]
Sigmas: TypeAlias = Annotated[Tensor, Socket("SIGMAS")]
SamplerValue: TypeAlias = Annotated[Sampler, Socket("SAMPLER")]

ScheduleSteps: TypeAlias = Annotated[int, Int(default=20, min=1, max=MOST_STEPS)]
Denoise: TypeAlias = Annotated[float, Float(default=1.0, min=0.0, max=1.0, step=0.01)]
SigmaMax: TypeAlias = Annotated[float, amount(14.614642, max=5000.0)]
SigmaMin: TypeAlias = Annotated[float, amount(0.0291675, max=5000.0)]

Eta: TypeAlias = Annotated[float, amount(1.0)]
NoiseAmount: TypeAlias = Annotated[float, amount(1.0)]
NoiseDevice: TypeAlias = Annotated[str, Choice("gpu", "cpu", bare=True)]
