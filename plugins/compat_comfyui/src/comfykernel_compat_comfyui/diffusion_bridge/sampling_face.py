"""The sampling side of a model in both forms: packs read and replace ``model_sampling``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .library import ModelSampling


class SamplingFace:
    """Noise levels and parametrisation of a model of comfykernel, as packs read them."""

    def __init__(self, ours: ModelSampling) -> None:
        self.ours = ours
        self.sigma_data = float(getattr(ours.parametrisation, "sigma_data", 1.0))

    @property
    def sigmas(self) -> Tensor:
        """All noise levels, ascending."""
        return self.ours.levels.sigmas

    @property
    def log_sigmas(self) -> Tensor:
        """Their logarithms."""
        return self.sigmas.log()

    @property
    def sigma_min(self) -> Tensor:
        """The smallest level."""
        return self.sigmas[0]

    @property
    def sigma_max(self) -> Tensor:
        """The largest level."""
        return self.sigmas[-1]

    @property
    def shift(self) -> float:
        """The shift of a flow; 1 for others."""
        return float(getattr(self.ours.levels, "shift", getattr(self.ours.levels, "mu", 1.0)))

    @property
    def multiplier(self) -> float:
        """What a flow's network is told: sigma times this."""
        return float(getattr(self.ours.levels, "multiplier", 1.0))

    @property
    def num_timesteps(self) -> int:
        """How many levels there are."""
        return len(self.sigmas)

    def timestep(self, sigma: Tensor) -> Tensor:
        """What the network is told of a level."""
        return self.ours.levels.timestep(sigma)

    def sigma(self, timestep: Tensor) -> Tensor:
        """The level of a timestep."""
        return self.ours.levels.sigma(timestep)

    def percent_to_sigma(self, percent: float) -> float:
        """The level at a progress of 0 to 1."""
        return self.ours.levels.percent_to_sigma(percent)

    def calculate_input(self, sigma: Tensor, noise: Tensor) -> Tensor:
        """What the network sees of a noisy latent."""
        return self.ours.parametrisation.network_input(noise, _like(sigma, noise))

    def calculate_denoised(self, sigma: Tensor, model_output: Tensor, model_input: Tensor) -> Tensor:
        """The clean latent that the network's output stands for."""
        return self.ours.parametrisation.denoised(model_input, model_output, _like(sigma, model_output))

    def noise_scaling(self, sigma: Tensor, noise: Tensor, latent_image: Tensor, max_denoise: bool = False) -> Tensor:
        """A latent with noise of a level."""
        return self.ours.path.add_noise(latent_image, noise, sigma, full=max_denoise)

    def inverse_noise_scaling(self, sigma: Tensor, latent: Tensor) -> Tensor:
        """A latent as it is when a run ends at a level."""
        return self.ours.path.remove_scale(latent, sigma)


def sampling_class(ours: ModelSampling) -> SamplingFace:
    """A model's sampling as packs read it; ``isinstance`` tells its kind as with a pack's own."""
    from ..shims.comfy import model_sampling as names

    kinds = {
        "Epsilon": names.EPS,
        "Velocity": names.V_PREDICTION,
        "Preconditioned": names.EDM,
        "Flow": names.CONST,
        "Clean": names.X0,
    }
    kind = kinds.get(type(ours.parametrisation).__name__, names.EPS)
    return type("ModelSampling", (SamplingFace, kind), {})(ours)  # type: ignore[no-any-return]


def _like(sigma: Tensor, x: Tensor) -> Tensor:
    return sigma.reshape(sigma.shape[:1] + (1,) * (x.ndim - 1)) if sigma.ndim else sigma


@dataclass(frozen=True, slots=True)
class _PackLevels:
    """Noise levels that a pack defines."""

    theirs: Any

    @property
    def sigmas(self) -> Tensor:
        found: Tensor = self.theirs.sigmas
        return found.float().cpu()

    def timestep(self, sigma: Tensor) -> Tensor:
        found: Tensor = self.theirs.timestep(sigma)
        return found

    def sigma(self, timestep: Tensor) -> Tensor:
        found: Tensor = self.theirs.sigma(timestep)
        return found

    def percent_to_sigma(self, percent: float) -> float:
        return float(self.theirs.percent_to_sigma(percent))


@dataclass(frozen=True, slots=True)
class _PackParametrisation:
    """A parametrisation that a pack defines."""

    theirs: Any

    def network_input(self, x: Tensor, sigma: Tensor) -> Tensor:
        found: Tensor = self.theirs.calculate_input(sigma.flatten(), x)
        return found

    def denoised(self, x: Tensor, output: Tensor, sigma: Tensor) -> Tensor:
        found: Tensor = self.theirs.calculate_denoised(sigma.flatten(), output, x)
        return found


def ours_of(theirs: Any, base: ModelSampling) -> ModelSampling:
    """A pack's ``model_sampling`` for the library; the noise path is that of its kind."""
    if isinstance(theirs, SamplingFace):
        return theirs.ours
    from ..shims.comfy import model_sampling as names

    levels = _PackLevels(theirs)
    path = type(base.path)
    if isinstance(theirs, names.CONST):
        path = type(ModelSampling.of(_flow()).path)
    elif isinstance(theirs, names.EPS):
        path = type(ModelSampling.epsilon().path)
    percent: Callable[[float], float] = levels.percent_to_sigma
    return ModelSampling(levels, _PackParametrisation(theirs), path(percent))  # type: ignore[call-arg]


def _flow() -> Any:
    from comfykernel_sdk.families import SamplingSpec

    return SamplingSpec("flow")


__all__ = ["SamplingFace", "ours_of", "sampling_class", "torch"]
