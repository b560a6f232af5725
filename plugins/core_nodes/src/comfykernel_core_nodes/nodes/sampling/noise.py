"""Nodes that make noise and add it to latents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Protocol, TypeAlias

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.noise import start_noise
from comfykernel_core_nodes.diffusion.noisy_latents import noisy_latent
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.sampling.widgets import Sigmas
from comfykernel_core_nodes.nodes.sockets import Model, Seed
from comfykernel_sdk.sockets import Latent, LatentDict, Socket

_node = extra_node("nodes_custom_sampler")


class NoiseSource(Protocol):
    """What a NOISE socket carries."""

    @property
    def seed(self) -> int:
        """Of the noise that samplers add."""

    def generate_noise(self, latent: LatentDict) -> Tensor:
        """Start noise in the shape of `latent["samples"]`, on the CPU."""


@dataclass(frozen=True, slots=True)
class SeededNoise:
    """Normal noise from a seed."""

    seed: int

    def generate_noise(self, latent: LatentDict) -> Tensor:
        """Rows as `batch_index` says, where the latent has one."""
        return start_noise(latent["samples"], self.seed, latent.get("batch_index"))


@dataclass(frozen=True, slots=True)
class NoNoise:
    """Zeros, for latents that are noisy already."""

    seed: int = 0

    def generate_noise(self, latent: LatentDict) -> Tensor:
        """Zeros of the latent's shape."""
        return torch.zeros_like(latent["samples"], device="cpu")


Noise: TypeAlias = Annotated[NoiseSource, Socket("NOISE")]


@_node("RandomNoise", category="sampling/custom_sampling/noise", display_name="RandomNoise")
def random_noise(noise_seed: Seed) -> Noise:
    """Normal noise from a seed."""
    return SeededNoise(noise_seed)


@_node("DisableNoise", category="sampling/custom_sampling/noise", display_name="DisableNoise")
def disable_noise() -> Noise:
    """No start noise, for a latent that another sampler left noisy."""
    return NoNoise()


@_node("AddNoise", category="_for_testing/custom_sampling/noise", display_name="AddNoise")
def add_noise(model: Model, noise: Noise, sigmas: Sigmas, latent_image: Latent) -> Latent:
    """Bring a latent to the noise that a schedule removes: the first level of it less the last."""
    with reported():
        samples = latent_image["samples"]
        return {**latent_image, "samples": noisy_latent(model, noise.generate_noise(latent_image), samples, sigmas)}
