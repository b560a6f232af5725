"""Diffusion models by family."""

from __future__ import annotations

from enum import Enum

from comfykernel_compat_comfyui.diffusion_bridge.model_face import SD3, SDXL, BaseModel, Flux, SDXLRefiner

__all__ = ["SD3", "SDXL", "BaseModel", "Flux", "ModelType", "SDXLRefiner"]


class ModelType(Enum):
    """What a network predicts."""

    EPS = 1
    V_PREDICTION = 2
    V_PREDICTION_EDM = 3
    STABLE_CASCADE = 4
    EDM = 5
    FLOW = 6
    V_PREDICTION_CONTINUOUS = 7
    FLUX = 8
    IMG_TO_IMG = 9
    FLOW_COSMOS = 10
    X0 = 11
