"""Nodes for rectified flows: how far their noise levels are shifted towards noise."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from comfykernel_core_nodes.diffusion import sampling_choices as choices
from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.resolution_schedules import shift_for_size
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.sampling.published_schedulers import latent_positions
from comfykernel_core_nodes.nodes.sampling.widgets import OpenModel
from comfykernel_core_nodes.nodes.sockets import MAX_SIDE, Model
from comfykernel_sdk.sockets import Float, Int, LatentDict, Socket

CATEGORY = "advanced/model"

_node = extra_node("nodes_model_advanced")
_ltxv_node = partial(extra_node("nodes_lt"), deprecated=False, experimental=False, api_node=False)


@_node("ModelSamplingSD3", category=CATEGORY, display_name="ModelSamplingSD3")
def model_sampling_sd3(
    model: Model, shift: Annotated[float, Float(default=3.0, min=0.0, max=100.0, step=0.01)]
) -> Model:
    """Shift the levels of a flow as SD3 does; a higher shift spends more steps on noise."""
    with reported():
        return model.with_sampling(choices.flow_sampling(shift))


@_node("ModelSamplingAuraFlow", category=CATEGORY, display_name="ModelSamplingAuraFlow")
def model_sampling_aura_flow(
    model: Model, shift: Annotated[float, Float(default=1.73, min=0.0, max=100.0, step=0.01)]
) -> Model:
    """The same for models that are told their level as a number up to 1."""
    with reported():
        return model.with_sampling(choices.flow_sampling(shift, multiplier=1.0))


@_node("ModelSamplingFlux", category=CATEGORY, display_name="ModelSamplingFlux")
def model_sampling_flux(
    model: Model,
    max_shift: Annotated[float, Float(default=1.15, min=0.0, max=100.0, step=0.01)],
    base_shift: Annotated[float, Float(default=0.5, min=0.0, max=100.0, step=0.01)],
    width: Annotated[int, Int(default=1024, min=16, max=MAX_SIDE, step=8)],
    height: Annotated[int, Int(default=1024, min=16, max=MAX_SIDE, step=8)],
) -> Model:
    """Shift the levels of a flow by the size of the picture, as Flux does."""
    fewest, most = choices.FLUX_TOKENS
    tokens = width * height / choices.FLUX_TOKEN_PIXELS**2
    return model.with_sampling(
        choices.flux_sampling(shift_for_size(tokens, base_shift, max_shift, fewest=fewest, most=most))
    )


@_ltxv_node("ModelSamplingLTXV", category=CATEGORY)
def model_sampling_ltxv(
    model: OpenModel,
    max_shift: Annotated[float, Float(default=2.05, min=0.0, max=100.0, step=0.01)],
    base_shift: Annotated[float, Float(default=0.95, min=0.0, max=100.0, step=0.01)],
    latent: Annotated[LatentDict | None, Socket("LATENT", bare=False)] = None,
) -> Annotated[DiffusionModel, Socket("MODEL")]:
    """Shift the levels of a flow by the size of the latent, as LTX-Video does."""
    shift = shift_for_size(latent_positions(latent), base_shift, max_shift)
    return model.with_sampling(choices.flux_sampling(shift))
