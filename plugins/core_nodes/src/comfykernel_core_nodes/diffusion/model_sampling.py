"""The sampling side of a model: noise levels, parametrisation and noise path as one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, cast

from comfykernel_core_nodes.diffusion.noise_paths import NoisePath, RectifiedFlow, VarianceExploding
from comfykernel_core_nodes.diffusion.parametrisation import (
    Clean,
    Consistency,
    Epsilon,
    Flow,
    Parametrisation,
    Preconditioned,
    Velocity,
)
from comfykernel_core_nodes.diffusion.sigmas import (
    DiscreteLevels,
    ExponentialFlowLevels,
    FlowLevels,
    LogUniformLevels,
    NoiseLevels,
    sigma_max,
    sigma_min,
)
from comfykernel_sdk.families import Sampling, SamplingSpec


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

    @classmethod
    def of(cls, spec: SamplingSpec | Sampling) -> ModelSampling:
        """What a family says about its model; options that it leaves out have the published models' values."""
        if isinstance(spec, SamplingSpec):
            return _KINDS[spec.prediction](spec.options)
        parts = spec.levels, spec.parametrisation, spec.path
        return cls(cast(NoiseLevels, parts[0]), cast(Parametrisation, parts[1]), cast(NoisePath, parts[2]))


Options = Mapping[str, float]


def _discrete(parametrisation: Parametrisation) -> Callable[[Options], ModelSampling]:
    def make(options: Options) -> ModelSampling:
        levels = DiscreteLevels.scaled_linear(zero_terminal_snr=bool(options.get("zero_terminal_snr")))
        return ModelSampling.variance_exploding(levels, parametrisation)

    return make


def _consistency(options: Options) -> ModelSampling:
    levels = DiscreteLevels.distilled(zero_terminal_snr=bool(options.get("zero_terminal_snr")))
    return ModelSampling.variance_exploding(levels, Consistency(timestep=levels.timestep))


def _edm(parametrisation: type[Epsilon]) -> Callable[[Options], ModelSampling]:
    def make(options: Options) -> ModelSampling:
        levels = LogUniformLevels(options.get("sigma_min", 0.002), options.get("sigma_max", 120.0))
        return ModelSampling.variance_exploding(levels, parametrisation(options.get("sigma_data", 1.0)))

    return make


def _flow(options: Options) -> ModelSampling:
    return ModelSampling.flow(FlowLevels(options.get("shift", 1.0), options.get("multiplier", 1000.0)))


def _flux_flow(options: Options) -> ModelSampling:
    return ModelSampling.flow(ExponentialFlowLevels(options.get("shift", 1.15)))


_KINDS: Final[Mapping[str, Callable[[Options], ModelSampling]]] = {
    "epsilon": _discrete(Epsilon()),
    "velocity": _discrete(Velocity()),
    "clean": _discrete(Clean()),
    "consistency": _consistency,
    "edm": _edm(Preconditioned),
    "edm_epsilon": _edm(Epsilon),
    "edm_velocity": _edm(Velocity),
    "flow": _flow,
    "flux_flow": _flux_flow,
}
