"""Nodes that change attention: factors on its projections, and what computes it."""

from __future__ import annotations

import logging
from functools import partial
from typing import Annotated, Final, TypeAlias

from comfykernel_core_nodes.diffusion.attention_scaling import (
    CROSS_ATTENTION,
    SELF_ATTENTION,
    scale_attention,
    scale_attention_outputs,
    scale_text_attention,
)
from comfykernel_core_nodes.diffusion.text_encoding import TextEncoder
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.errors import missing_part
from comfykernel_core_nodes.nodes.model_patches.unet_features import ListedModel
from comfykernel_core_nodes.nodes.sockets import ClipModel, Model
from comfykernel_sdk.sockets import Choice, Float, Out, Socket

logger = logging.getLogger(__name__)

CATEGORY: Final = "_for_testing/attention_experiments"
PYTORCH, KITCHEN = "pytorch attention", "comfy kitchen attention"

attention_node = partial(
    extra_node("nodes_attention_multiply"), category=CATEGORY, deprecated=False, experimental=True, api_node=False
)
backend_node = extra_node("nodes_attention_backend")

Factor: TypeAlias = Annotated[float, Float(default=1.0, min=0.0, max=10.0, step=0.01)]


@attention_node("UNetSelfAttentionMultiply")
def unet_self_attention_multiply(model: ListedModel, q: Factor, k: Factor, v: Factor, out: Factor) -> Model:
    """Multiply the queries, keys, values and outputs of a UNet's self-attention."""
    return scale_attention(model, SELF_ATTENTION, {"q": q, "k": k, "v": v, "out": out})


@attention_node("UNetCrossAttentionMultiply")
def unet_cross_attention_multiply(model: ListedModel, q: Factor, k: Factor, v: Factor, out: Factor) -> Model:
    """Multiply the queries, keys, values and outputs of a UNet's attention to the text."""
    return scale_attention(model, CROSS_ATTENTION, {"q": q, "k": k, "v": v, "out": out})


@attention_node("CLIPAttentionMultiply")
def clip_attention_multiply(
    clip: Annotated[TextEncoder | None, Socket("CLIP", bare=False)], q: Factor, k: Factor, v: Factor, out: Factor
) -> ClipModel:
    """Multiply the queries, keys, values and outputs of the attention in a CLIP text model.

    Raises:
        BadInput: there is no text model.
    """
    if clip is None:
        raise missing_part("text model", "Load a checkpoint that has one.")
    return scale_text_attention(clip, {"q": q, "k": k, "v": v, "out": out})


@attention_node("UNetTemporalAttentionMultiply")
def unet_temporal_attention_multiply(
    model: ListedModel,
    self_structural: Factor,
    self_temporal: Factor,
    cross_structural: Factor,
    cross_temporal: Factor,
) -> Model:
    """Multiply what attention gives; layers over the frames of a video, where there are any, have their own factors."""
    return scale_attention_outputs(
        model,
        structural={SELF_ATTENTION: self_structural, CROSS_ATTENTION: cross_structural},
        temporal={SELF_ATTENTION: self_temporal, CROSS_ATTENTION: cross_temporal},
    )


@backend_node("ModelAttentionBackend", category="advanced/model_patches", display_name="Model Attention Backend")
def model_attention_backend(
    model: Model, attention: Annotated[str, Choice(PYTORCH, KITCHEN, default=PYTORCH, as_list=False)]
) -> Annotated[Model, Out("model")]:
    """Choose what computes a model's attention; where the choice is not at hand, PyTorch does, with a warning."""
    if attention != PYTORCH:
        logger.warning("%s is not at hand here: attention is computed by PyTorch.", attention.capitalize())
    return model
