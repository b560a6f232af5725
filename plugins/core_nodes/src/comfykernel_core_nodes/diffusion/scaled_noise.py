"""Noise of another size than 1, for models that were trained so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.noise_paths import AncestralStep, NoisePath


@dataclass(frozen=True, slots=True)
class ScaledNoise:
    """A path whose noise, drawn with deviation 1, is multiplied by `scale`, at the start and later."""

    inner: NoisePath
    scale: float

    @property
    def percent_to_sigma(self) -> Callable[[float], float]:
        return self.inner.percent_to_sigma

    def alpha(self, sigma: Tensor) -> Tensor:
        return self.inner.alpha(sigma)

    def half_log_snr(self, sigma: Tensor) -> Tensor:
        return self.inner.half_log_snr(sigma)

    def sigma_at(self, half_log_snr: Tensor) -> Tensor:
        return self.inner.sigma_at(half_log_snr)

    def ancestral_step(self, sigma: Tensor, sigma_next: Tensor, eta: float) -> AncestralStep:
        step = self.inner.ancestral_step(sigma, sigma_next, eta)
        return step._replace(sigma_up=step.sigma_up * self.scale)

    def add_noise(self, latent: Tensor, noise: Tensor, sigma: Tensor, *, full: bool = False) -> Tensor:
        return self.inner.add_noise(latent, noise * self.scale, sigma, full=full)

    def remove_scale(self, latent: Tensor, sigma: Tensor) -> Tensor:
        return self.inner.remove_scale(latent, sigma)

    def with_finite_snr(self, sigmas: Tensor) -> Tensor:
        return self.inner.with_finite_snr(sigmas)


def with_noise_scale(model: DiffusionModel, scale: float) -> DiffusionModel:
    """A model that was trained with noise of deviation `scale`; replaces the scale that it has."""
    path = model.sampling.path
    inner = path.inner if isinstance(path, ScaledNoise) else path
    return model.with_sampling(replace(model.sampling, path=ScaledNoise(inner, scale)))
