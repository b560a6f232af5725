"""Noise levels and parametrisations by the names that records give them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from comfykernel_core_nodes.diffusion import parametrisation as forms
from comfykernel_core_nodes.diffusion.model_sampling import ModelSampling
from comfykernel_core_nodes.diffusion.sigmas import CosineLevels, ExponentialFlowLevels, FlowLevels, LogUniformLevels
from comfykernel_core_nodes.golden.node_graphs import run_single
from comfykernel_core_nodes.golden.tiny_models import stand_in

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


def sampling_of(spec: Mapping[str, Any]) -> ModelSampling:
    """The sampling that a record describes: a base with settings, or what a node makes of a model that has it."""
    base = _BASES[spec["base"]](spec["settings"])
    if "node" not in spec:
        return base
    ((model,),) = run_single(spec["node"], {"model": stand_in(base), **spec["node_inputs"]})
    sampling: ModelSampling = model.sampling
    return sampling
