"""A diffusion model as a handle: weights, sampling and latent format."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from comfykernel_core_nodes.diffusion.latent_formats import LatentFormat
from comfykernel_core_nodes.diffusion.memory import ModelMemory, Part, default_memory
from comfykernel_core_nodes.diffusion.model_sampling import ModelSampling
from comfykernel_core_nodes.diffusion.unet import UNet
from comfykernel_core_nodes.diffusion.weights import WeightPatch, Weights


@dataclass(frozen=True, eq=False)
class DiffusionModel:
    """An immutable handle; what changes a model makes a new one that shares the weights."""

    weights: Weights[UNet]
    sampling: ModelSampling
    latent_format: LatentFormat

    def with_patches(self, patches: dict[str, WeightPatch]) -> DiffusionModel:
        """A model with one more patch on each named weight (names as in `UNet`)."""
        return replace(self, weights=self.weights.with_patches(patches))

    def with_sampling(self, sampling: ModelSampling) -> DiffusionModel:
        """A model with other noise levels or another parametrisation."""
        return replace(self, sampling=sampling)

    def ready(self, memory: ModelMemory | None = None) -> RunnableModel:
        """The model on its device."""
        memory = memory or default_memory()
        return RunnableModel(memory.module(self.weights, Part.DIFFUSION), self.sampling)


@dataclass(frozen=True, slots=True)
class RunnableModel:
    """A model on its device, for one run."""

    unet: UNet
    sampling: ModelSampling

    def denoise(self, x: Tensor, sigma: Tensor, tokens: Tensor) -> Tensor:
        """Prediction of the clean latent, float32 [batch, channel, height, width].

        x: noisy latent of the same shape; sigma: [batch]; tokens: [batch, tokens, channels].
        """
        weight = next(self.unet.parameters())
        level = sigma.view(-1, *[1] * (x.ndim - 1)).to(x.dtype)
        inputs = self.sampling.parametrisation.network_input(x, level).to(weight.dtype)
        timesteps = self.sampling.levels.timestep(sigma).float()
        output: Tensor = self.unet(inputs, timesteps, tokens.to(weight.device, weight.dtype))
        return self.sampling.parametrisation.denoised(x, output.float(), level)
