"""The node that sets the deviation of the noise that a model was trained with."""

from __future__ import annotations

from typing import Annotated

from comfykernel_core_nodes.diffusion.scaled_noise import with_noise_scale
from comfykernel_core_nodes.nodes.guidance.declarations import BareModel, OpenModel, declared
from comfykernel_sdk.sockets import Float


@declared("nodes_model_advanced", "ModelNoiseScale", "advanced/model", "Model Noise Scale")
def model_noise_scale(
    model: OpenModel,
    noise_scale: Annotated[
        float,
        Float(default=1.0, min=0.0, max=64.0, step=0.01, tooltip="The deviation of the noise in training; 1 for most."),
    ],
) -> BareModel:
    """Multiply the noise of a run by the factor that the model was trained with."""
    return with_noise_scale(model, noise_scale)
