"""Parametrisations of models."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from comfykernel_compat_comfyui.lacking_names import node_or_missing
from comfykernel_compat_comfyui.shims.comfy.model_sampling import (
    EPS,
    X0,
    ModelSamplingDiscrete,
    rescale_zero_terminal_snr_sigmas,
)

__all__ = ["LCM", "X0", "ModelSamplingDiscreteDistilled", "rescale_zero_terminal_snr_sigmas"]


class LCM(EPS):
    """Latent consistency models (Luo et al. 2023, arXiv:2310.04378): epsilon inside of boundary scalings."""

    def calculate_denoised(self, sigma: Tensor, model_output: Tensor, model_input: Tensor) -> Tensor:
        """The clean latent that the network's output stands for."""
        shape = sigma.shape[:1] + (1,) * (model_output.ndim - 1)
        timestep = self.timestep(sigma).view(shape) * 10.0  # type: ignore[attr-defined]
        clean = model_input - model_output * sigma.view(shape)
        skip = 0.25 / (timestep**2 + 0.25)
        out = timestep / (timestep**2 + 0.25) ** 0.5
        scaled: Tensor = out * clean + skip * model_input
        return scaled


class ModelSamplingDiscreteDistilled(ModelSamplingDiscrete):
    """Every 20th of the levels, counted from the noisiest."""

    original_timesteps = 50

    def __init__(self, model_config: Any = None, zsnr: bool | None = None) -> None:
        super().__init__(model_config, zsnr=zsnr)
        self.skip_steps = self.num_timesteps // self.original_timesteps
        kept = self.sigmas[self.skip_steps - 1 :: self.skip_steps].clone()
        self.zsnr = False
        self.set_sigmas(kept)

    def timestep(self, sigma: Tensor) -> Tensor:
        """The training timestep of the nearest level."""
        return super().timestep(sigma) * self.skip_steps + (self.skip_steps - 1)

    def sigma(self, timestep: Tensor) -> Tensor:
        """The level of a training timestep."""
        return super().sigma((timestep.float() - (self.skip_steps - 1)) / self.skip_steps)


def __getattr__(name: str) -> Any:
    """A node of comfykernel as a class."""
    return node_or_missing("comfy_extras.nodes_model_advanced", name)
