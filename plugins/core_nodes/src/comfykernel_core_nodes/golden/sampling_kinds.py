"""Noise levels and parametrisations by the names that records give them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from comfykernel_core_nodes.diffusion import parametrisation as forms
from comfykernel_core_nodes.diffusion.model_sampling import ModelSampling
from comfykernel_core_nodes.diffusion.sigmas import (
    AngularLevels,
    CosineLevels,
    DiscreteLevels,
    ExponentialFlowLevels,
    FlowLevels,
    LogUniformLevels,
    RatioLevels,
)
from comfykernel_core_nodes.golden.records import Absent

Settings = Mapping[str, Any]

_BASES: Final[Mapping[str, Callable[[Settings], ModelSampling]]] = {
    "EPS": lambda s: ModelSampling.epsilon(),
    "V_PREDICTION": lambda s: ModelSampling.velocity(),
    "EDM": lambda s: ModelSampling.variance_exploding(
        LogUniformLevels(s["sigma_min"], s["sigma_max"]), forms.Preconditioned(s["sigma_data"])
    ),
    "V_PREDICTION_EDM": lambda s: ModelSampling.variance_exploding(
        LogUniformLevels(s["sigma_min"], s["sigma_max"]), forms.Velocity()
    ),
    "FLOW": lambda s: ModelSampling.flow(FlowLevels(s.get("shift", 1.0), s.get("multiplier", 1000.0))),
    "FLUX": lambda s: ModelSampling.flow(ExponentialFlowLevels(s.get("shift", 1.15))),
    "STABLE_CASCADE": lambda s: ModelSampling.variance_exploding(CosineLevels(s["shift"]), forms.Epsilon()),
}


def _discrete(inputs: Settings) -> ModelSampling:
    zero = bool(inputs["zsnr"])
    if inputs["sampling"] == "lcm":
        distilled = DiscreteLevels.distilled(zero_terminal_snr=zero)
        return ModelSampling.variance_exploding(distilled, forms.Consistency(timestep=distilled.timestep))
    form = {"eps": forms.Epsilon(), "v_prediction": forms.Velocity(), "x0": forms.Clean()}[inputs["sampling"]]
    return ModelSampling.variance_exploding(DiscreteLevels.scaled_linear(zero_terminal_snr=zero), form)


def _continuous(inputs: Settings) -> ModelSampling:
    kind = RatioLevels if inputs["sampling"] == "cosmos_rflow" else LogUniformLevels
    form = forms.Velocity() if inputs["sampling"] == "v_prediction" else forms.Epsilon()
    return ModelSampling.variance_exploding(kind(inputs["sigma_min"], inputs["sigma_max"]), form)


def _flux(inputs: Settings) -> ModelSampling:
    slope = (inputs["max_shift"] - inputs["base_shift"]) / (4096 - 256)
    tokens = inputs["width"] * inputs["height"] / (8 * 8 * 2 * 2)
    return ModelSampling.flow(ExponentialFlowLevels(tokens * slope + inputs["base_shift"] - slope * 256))


_NODES: Final[Mapping[str, Callable[[Settings], ModelSampling]]] = {
    "ModelSamplingDiscrete": _discrete,
    "ModelSamplingContinuousEDM": _continuous,
    "ModelSamplingContinuousV": lambda i: ModelSampling.variance_exploding(
        AngularLevels(i["sigma_min"], i["sigma_max"]), forms.Velocity()
    ),
    "ModelSamplingSD3": lambda i: ModelSampling.flow(FlowLevels(i["shift"])),
    "ModelSamplingAuraFlow": lambda i: ModelSampling.flow(FlowLevels(i["shift"], 1.0)),
    "ModelSamplingFlux": _flux,
}


def sampling_of(spec: Mapping[str, Any]) -> ModelSampling:
    """The sampling that a record describes: a base with settings, or what a node makes of it."""
    node = spec.get("node")
    if node is None:
        return _BASES[spec["base"]](spec["settings"])
    if node not in _NODES:
        raise Absent(f"no noise levels of the node {node}")
    return _NODES[node](spec["node_inputs"])
