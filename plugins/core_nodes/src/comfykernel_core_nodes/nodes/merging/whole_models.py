"""Nodes that merge two models by one number."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from comfykernel_core_nodes.diffusion.text_encoding import TextEncoder
from comfykernel_core_nodes.diffusion.weight_merging import Share, block_shares, merged_models, merged_texts, mixed
from comfykernel_core_nodes.nodes.conditioning.prompts import present_clip
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.sockets import ClipModel, Model
from comfykernel_sdk.sockets import Float

merging_node = extra_node("nodes_model_merging")

CATEGORY = "advanced/model_merging"

Ratio: TypeAlias = Annotated[float, Float(default=1.0, min=0.0, max=1.0, step=0.01)]
Multiplier: TypeAlias = Annotated[float, Float(default=1.0, min=-10.0, max=10.0, step=0.01)]


@merging_node("ModelMergeSimple", category=CATEGORY)
def model_merge_simple(model1: Model, model2: Model, ratio: Ratio) -> Model:
    """Mix two models: ratio 1 is the first alone, 0 the second.

    Raises:
        BadInput: the models have no weights in common.
    """
    with reported():
        return merged_models(model1, model2, lambda _name: mixed(ratio))


@merging_node("ModelMergeBlocks", category=CATEGORY)
def model_merge_blocks(model1: Model, model2: Model, input: Ratio, middle: Ratio, out: Ratio) -> Model:
    """Mix two models with a ratio for each part of a UNet; what is in none of them has that of the inputs.

    Raises:
        BadInput: the models have no weights in common.
    """
    with reported():
        return merged_models(model1, model2, block_shares({"input": input, "middle": middle, "out": out}))


@merging_node("ModelMergeSubtract", category=CATEGORY)
def model_merge_subtract(model1: Model, model2: Model, multiplier: Multiplier) -> Model:
    """Take the difference of two models, multiplied: what the first learned that the second does not know.

    Raises:
        BadInput: the models have no weights in common.
    """
    with reported():
        return merged_models(model1, model2, lambda _name: Share(multiplier, -multiplier))


@merging_node("ModelMergeAdd", category=CATEGORY)
def model_merge_add(model1: Model, model2: Model) -> Model:
    """Add the weights of two models, of which one is mostly a difference.

    Raises:
        BadInput: the models have no weights in common.
    """
    with reported():
        return merged_models(model1, model2, lambda _name: Share(1.0, 1.0))


@merging_node("CLIPMergeSimple", category=CATEGORY)
def clip_merge_simple(clip1: ClipModel, clip2: ClipModel, ratio: Ratio) -> ClipModel:
    """Mix two text models: ratio 1 is the first alone, 0 the second.

    Raises:
        BadInput: the text models have no weights in common.
    """
    return _merged(clip1, clip2, mixed(ratio))


@merging_node("CLIPMergeSubtract", category=CATEGORY)
def clip_merge_subtract(clip1: ClipModel, clip2: ClipModel, multiplier: Multiplier) -> ClipModel:
    """Take the difference of two text models, multiplied.

    Raises:
        BadInput: the text models have no weights in common.
    """
    return _merged(clip1, clip2, Share(multiplier, -multiplier))


@merging_node("CLIPMergeAdd", category=CATEGORY)
def clip_merge_add(clip1: ClipModel, clip2: ClipModel) -> ClipModel:
    """Add the weights of two text models, of which one is mostly a difference.

    Raises:
        BadInput: the text models have no weights in common.
    """
    return _merged(clip1, clip2, Share(1.0, 1.0))


def _merged(clip1: TextEncoder | None, clip2: TextEncoder | None, share: Share) -> TextEncoder:
    with reported():
        return merged_texts(present_clip(clip1), present_clip(clip2), share)
