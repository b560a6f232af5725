"""Noise levels and parametrisations by the names that the field uses for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from comfykernel_core_nodes.diffusion.errors import InvalidSchedule
from comfykernel_core_nodes.diffusion.model_sampling import ModelSampling
from comfykernel_core_nodes.diffusion.noise_paths import ScaledFlowPath
from comfykernel_core_nodes.diffusion.parametrisation import (
    Clean,
    Consistency,
    Epsilon,
    Parametrisation,
    PictureToPicture,
    Preconditioned,
    ScaledFlow,
    Velocity,
)
from comfykernel_core_nodes.diffusion.sigmas import (
    AngularLevels,
    CosineLevels,
    DiscreteLevels,
    ExponentialFlowLevels,
    FlowLevels,
    LogUniformLevels,
    RatioLevels,
)

# Deviation of latents that the EDM target is scaled by (Karras et al. 2022).
EDM_SIGMA_DATA: Final = 0.5
# Image tokens between which the shift of Flux is a line; a token is 16 pixels square.
FLUX_TOKENS: Final = (256, 4096)
FLUX_TOKEN_PIXELS: Final = 16

_DISCRETE: Final[Mapping[str, Parametrisation]] = {
    "eps": Epsilon(),
    "v_prediction": Velocity(),
    "x0": Clean(),
    "img_to_img": PictureToPicture(),
}
DISCRETE_CHOICES: Final = ("eps", "v_prediction", "lcm", "x0", "img_to_img")

_CONTINUOUS: Final[Mapping[str, Parametrisation]] = {
    "v_prediction": Velocity(),
    "edm": Preconditioned(EDM_SIGMA_DATA),
    "edm_playground_v2.5": Preconditioned(EDM_SIGMA_DATA),
    "eps": Epsilon(),
}
CONTINUOUS_CHOICES: Final = (*_CONTINUOUS, "cosmos_rflow")


def discrete_sampling(name: str, *, zero_terminal_snr: bool = False) -> ModelSampling:
    """The 1000 levels of Stable Diffusion with one of `DISCRETE_CHOICES`; `lcm` has every twentieth."""
    if name == "lcm":
        levels = DiscreteLevels.distilled(zero_terminal_snr=zero_terminal_snr)
        return ModelSampling.variance_exploding(levels, Consistency(timestep=levels.timestep))
    table = DiscreteLevels.scaled_linear(zero_terminal_snr=zero_terminal_snr)
    return ModelSampling.variance_exploding(table, _DISCRETE[name])


def continuous_sampling(name: str, *, smallest: float, largest: float) -> ModelSampling:
    """Levels that are even in their logarithm with one of `CONTINUOUS_CHOICES`.

    Raises `InvalidSchedule` for bounds that are not positive or in the wrong order.
    """
    _check_bounds(smallest, largest)
    if name == "cosmos_rflow":
        levels = RatioLevels(smallest, largest)
        return ModelSampling(levels, ScaledFlow(), ScaledFlowPath(levels.percent_to_sigma))
    return ModelSampling.variance_exploding(LogUniformLevels(smallest, largest), _CONTINUOUS[name])


def angular_sampling(*, smallest: float, largest: float) -> ModelSampling:
    """Levels that are even in their logarithm, told to a v model as angles.

    Raises `InvalidSchedule` for bounds that are not positive or in the wrong order.
    """
    _check_bounds(smallest, largest)
    return ModelSampling.variance_exploding(AngularLevels(smallest, largest), Velocity())


def cascade_sampling(shift: float) -> ModelSampling:
    """Stable Cascade's cosine levels, shifted in log-SNR. Raises `InvalidSchedule` for a shift of 0."""
    _check_shift(shift)
    return ModelSampling.variance_exploding(CosineLevels(shift), Epsilon())


def flow_sampling(shift: float, *, multiplier: float = 1000.0) -> ModelSampling:
    """A rectified flow with the shift of SD3; the network is told `multiplier` times the level.

    Raises `InvalidSchedule` for a shift of 0.
    """
    _check_shift(shift)
    return ModelSampling.flow(FlowLevels(shift, multiplier))


def flux_sampling(shift: float) -> ModelSampling:
    """A rectified flow with the exponential shift of Flux."""
    return ModelSampling.flow(ExponentialFlowLevels(shift))


def _check_bounds(smallest: float, largest: float) -> None:
    if not 0 < smallest < largest:
        found = f"sigma_min is {smallest:g} and sigma_max {largest:g}."
        raise InvalidSchedule(found, "sigma_min must be above 0, and sigma_max above sigma_min.")


def _check_shift(shift: float) -> None:
    if shift <= 0:
        raise InvalidSchedule(f"The shift is {shift:g}, which leaves no noise levels.", "It must be above 0.")
