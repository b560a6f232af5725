"""The sampling side of a model: noise levels, parametrisation and noise path as one value."""

from __future__ import annotations

from dataclasses import dataclass

from comfykernel_core_nodes.diffusion.noise_paths import NoisePath, RectifiedFlow, VarianceExploding
from comfykernel_core_nodes.diffusion.parametrisation import Epsilon, Flow, Parametrisation, Velocity
from comfykernel_core_nodes.diffusion.sigmas import DiscreteLevels, NoiseLevels, sigma_max, sigma_min


@dataclass(frozen=True, slots=True)
class ModelSampling:
    """Everything that schedules and samplers need to know about a model, without the network."""

    levels: NoiseLevels
    parametrisation: Parametrisation
    path: NoisePath

    @property
    def sigma_min(self) -> float:
        """Smallest trained noise level."""
        return float(sigma_min(self.levels))

    @property
    def sigma_max(self) -> float:
        """Largest trained noise level."""
        return float(sigma_max(self.levels))

    @classmethod
    def variance_exploding(cls, levels: NoiseLevels, parametrisation: Parametrisation) -> ModelSampling:
        """A model whose latents are clean + sigma * noise."""
        return cls(levels, parametrisation, VarianceExploding(levels.percent_to_sigma))

    @classmethod
    def epsilon(cls, *, zero_terminal_snr: bool = False) -> ModelSampling:
        """Stable Diffusion 1.x and SDXL: predicts the noise."""
        return cls.variance_exploding(DiscreteLevels.scaled_linear(zero_terminal_snr=zero_terminal_snr), Epsilon())

    @classmethod
    def velocity(cls, *, zero_terminal_snr: bool = False) -> ModelSampling:
        """Stable Diffusion 2.x at 768 pixels and other v models on the same levels."""
        return cls.variance_exploding(DiscreteLevels.scaled_linear(zero_terminal_snr=zero_terminal_snr), Velocity())

    @classmethod
    def flow(cls, levels: NoiseLevels) -> ModelSampling:
        """A rectified flow on the given levels."""
        return cls(levels, Flow(), RectifiedFlow(levels.percent_to_sigma))
