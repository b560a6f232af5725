"""Nodes for models that predict noise, v or pictures: what the output means, and at which noise levels."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from comfykernel_core_nodes.diffusion import sampling_choices as choices
from comfykernel_core_nodes.diffusion.latent_formats import SDXL_PLAYGROUND
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.sampling.widgets import amount
from comfykernel_core_nodes.nodes.sockets import Model
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import Choice, Float, Toggle

CATEGORY = "advanced/model"

_node = extra_node("nodes_model_advanced")


@_node("ModelSamplingDiscrete", category=CATEGORY, display_name="ModelSamplingDiscrete")
def model_sampling_discrete(
    model: Model,
    sampling: Annotated[str, Choice(*choices.DISCRETE_CHOICES, bare=True)],
    zsnr: Annotated[bool, Toggle(default=False)],
) -> Model:
    """Sample over the 1000 levels of Stable Diffusion; zsnr makes the last of them pure noise."""
    return model.with_sampling(choices.discrete_sampling(sampling, zero_terminal_snr=zsnr))


@_node("ModelSamplingContinuousEDM", category=CATEGORY, display_name="ModelSamplingContinuousEDM")
def model_sampling_continuous_edm(
    model: Model,
    sampling: Annotated[str, Choice(*choices.CONTINUOUS_CHOICES, bare=True)],
    sigma_max: Annotated[float, amount(120.0, max=1000.0, step=0.001)],
    sigma_min: Annotated[float, amount(0.002, max=1000.0, step=0.001)],
) -> Model:
    """Sample over levels without steps between two bounds."""
    with reported():
        changed = model.with_sampling(choices.continuous_sampling(sampling, smallest=sigma_min, largest=sigma_max))
    if sampling != "edm_playground_v2.5":
        return changed
    if model.latent_format.channels != SDXL_PLAYGROUND.channels:
        raise BadInput(
            f"The model has latents of {model.latent_format.channels} channels; those of Playground v2.5 have 4.",
            hint="Take edm_playground_v2.5 for that model alone.",
        )
    return replace(changed, latent_format=SDXL_PLAYGROUND)


@_node("ModelSamplingContinuousV", category=CATEGORY, display_name="ModelSamplingContinuousV")
def model_sampling_continuous_v(
    model: Model,
    sampling: Annotated[str, Choice("v_prediction", bare=True)],
    sigma_max: Annotated[float, amount(500.0, max=1000.0, step=0.001)],
    sigma_min: Annotated[float, amount(0.03, max=1000.0, step=0.001)],
) -> Model:
    """Sample a v model that is told its level as an angle."""
    with reported():
        return model.with_sampling(choices.angular_sampling(smallest=sigma_min, largest=sigma_max))


@_node("ModelSamplingStableCascade", category=CATEGORY, display_name="ModelSamplingStableCascade")
def model_sampling_stable_cascade(
    model: Model, shift: Annotated[float, Float(default=2.0, min=0.0, max=100.0, step=0.01)]
) -> Model:
    """Sample over the cosine levels of Stable Cascade."""
    with reported():
        return model.with_sampling(choices.cascade_sampling(shift))
