"""Nodes that guide away from what a weakened network predicts."""

from __future__ import annotations

import re
from typing import Annotated, Final, TypeAlias

from comfykernel_core_nodes.diffusion.guidance.perturbed import (
    SkippedLayers,
    perturbed_attention,
    skip_layer_guidance,
    skip_layers_of_negative,
)
from comfykernel_core_nodes.diffusion.guidance.self_attention import self_attention_guidance
from comfykernel_core_nodes.nodes.guidance.declarations import (
    BareModel,
    EndPercent,
    OpenModel,
    StartPercent,
    declared,
)
from comfykernel_sdk.sockets import Float, Text

GUIDANCE: Final = "advanced/guidance"

Layers: TypeAlias = Annotated[
    str,
    Text(default="7, 8, 9", multiline=False, tooltip="Numbers of the layers that are left out, separated by commas."),
]
LayerScale: TypeAlias = Annotated[float, Float(default=3.0, min=0.0, max=10.0, step=0.1)]
EarlyStart: TypeAlias = Annotated[float, Float(default=0.01, min=0.0, max=1.0, step=0.001)]
EarlyEnd: TypeAlias = Annotated[float, Float(default=0.15, min=0.0, max=1.0, step=0.001)]


@declared("nodes_pag", "PerturbedAttentionGuidance", "model_patches/unet")
def perturbed_attention_guidance(
    model: OpenModel,
    scale: Annotated[float, Float(default=3.0, min=0.0, max=100.0, step=0.01, round=0.01)],
) -> BareModel:
    """Guide away from a prediction whose middle block attends to nothing; for UNets."""
    return model.with_guidance(perturbed_attention(scale))


@declared("nodes_sag", "SelfAttentionGuidance", "_for_testing", "Self-Attention Guidance", experimental=True)
def self_attention_guidance_node(
    model: OpenModel,
    scale: Annotated[float, Float(default=0.5, min=-2.0, max=5.0, step=0.01)],
    blur_sigma: Annotated[float, Float(default=2.0, min=0.0, max=10.0, step=0.1)],
) -> BareModel:
    """Guide away from a prediction that sees the most important places blurred; for UNets."""
    return model.with_guidance(self_attention_guidance(scale, blur_sigma))


@declared("nodes_sd3", "SkipLayerGuidanceSD3", GUIDANCE, experimental=True)
def skip_layer_guidance_sd3(
    model: OpenModel, layers: Layers, scale: LayerScale, start_percent: EarlyStart, end_percent: EarlyEnd
) -> BareModel:
    """Guide a Stable Diffusion 3 model away from a prediction without some of its layers."""
    skipped = SkippedLayers(numbers(layers), (), start_percent, end_percent)
    return model.with_guidance(skip_layer_guidance(skipped, scale))


@declared("nodes_slg", "SkipLayerGuidanceDiT", GUIDANCE, experimental=True)
def skip_layer_guidance_dit(
    model: OpenModel,
    double_layers: Layers,
    single_layers: Layers,
    scale: LayerScale,
    start_percent: EarlyStart,
    end_percent: EarlyEnd,
    rescaling_scale: Annotated[float, Float(default=0.0, min=0.0, max=10.0, step=0.01)],
) -> BareModel:
    """Guide a transformer away from a prediction without some of its layers of two streams and of one."""
    skipped = SkippedLayers(numbers(double_layers), numbers(single_layers), start_percent, end_percent)
    return model.with_guidance(skip_layer_guidance(skipped, scale, rescale=rescaling_scale))


@declared("nodes_slg", "SkipLayerGuidanceDiTSimple", GUIDANCE, experimental=True)
def skip_layer_guidance_dit_simple(
    model: OpenModel,
    double_layers: Layers,
    single_layers: Layers,
    start_percent: StartPercent,
    end_percent: EndPercent,
) -> BareModel:
    """Compute the negative prediction of a transformer without some of its layers: no further pass is needed."""
    skipped = SkippedLayers(numbers(double_layers), numbers(single_layers), start_percent, end_percent)
    return model.with_guidance(skip_layers_of_negative(skipped))


def numbers(text: str) -> frozenset[int]:
    """The whole numbers in a text, whatever stands between them."""
    return frozenset(int(number) for number in re.findall(r"\d+", text))
