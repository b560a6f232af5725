"""Guidance: predictions for the sides of a run, how they become one, and the stages where functions act on them."""

from __future__ import annotations

from comfykernel_core_nodes.diffusion.guidance.denoiser import (
    Guide,
    GuidedCall,
    GuidedDenoiser,
    classifier_free,
    linear,
)
from comfykernel_core_nodes.diffusion.guidance.predictions import Batch, ModelCall, NetworkCall, Side, predict_sides
from comfykernel_core_nodes.diffusion.guidance.stages import (
    Guidance,
    GuidedRun,
    Predict,
    Predictions,
    Stages,
    Step,
    in_range,
    stages_of,
)

__all__ = [
    "Batch",
    "Guidance",
    "Guide",
    "GuidedCall",
    "GuidedDenoiser",
    "GuidedRun",
    "ModelCall",
    "NetworkCall",
    "Predict",
    "Predictions",
    "Side",
    "Stages",
    "Step",
    "classifier_free",
    "in_range",
    "linear",
    "predict_sides",
    "stages_of",
]
