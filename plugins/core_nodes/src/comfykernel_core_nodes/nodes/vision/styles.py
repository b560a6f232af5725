"""Nodes that add what an image encoder saw to a text, as tokens of a style model."""

from __future__ import annotations

import math
from typing import Annotated, Final, TypeAlias

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.style_models import StyleModel, load_style_model
from comfykernel_core_nodes.nodes.declare import core_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.sockets import Conditions
from comfykernel_core_nodes.nodes.vision.encoders import SeenImage
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import Choice, Float, Socket

FOLDER: Final = "style_models"
# What conditions carry for models whose attention can be weighted; see `Flux.forward`.
ATTENTION_BIAS: Final = "attention_bias"

Style: TypeAlias = Annotated[StyleModel, Socket("STYLE_MODEL")]


@core_node("StyleModelLoader", category="loaders", display_name="Load Style Model")
def style_model_loader(
    context: NodeContext, style_model_name: Annotated[str, Choice(source=FOLDER, bare=True)]
) -> Style:
    """Load a style model: Flux Redux, or the style adapter of T2I.

    Raises:
        NotFound: there is no such file.
        ModelFileError: the file is damaged, or holds no style model.
    """
    path = context.models.path(FOLDER, style_model_name)
    with reported():
        return load_style_model(path)


@core_node("StyleModelApply", category="conditioning/style_model", display_name="Apply Style Model")
def style_model_apply(
    conditioning: Conditions,
    style_model: Style,
    clip_vision_output: SeenImage,
    strength: Annotated[float, Float(default=1.0, min=0.0, max=10.0, step=0.001)],
    strength_type: Annotated[str, Choice("multiply", "attn_bias", bare=True)],
) -> Conditions:
    """Let a picture be read like a part of the text.

    The strength multiplies its tokens, or weights the attention that text and picture pay to them (Flux only).
    """
    with reported():
        tokens = style_model.tokens(clip_vision_output)
    if strength_type == "multiply":
        return [_with_tokens(each, tokens * strength) for each in conditioning]
    if strength == 1.0:
        return [_with_tokens(each, tokens) for each in conditioning]
    return [_with_weighted_tokens(each, tokens, strength) for each in conditioning]


def _with_tokens(condition: Conditioning, tokens: Tensor) -> Conditioning:
    """The condition's text with more tokens at its end."""
    text = condition.tokens
    if text.shape[-1] != tokens.shape[-1]:
        raise BadInput(
            f"The style model makes tokens of width {tokens.shape[-1]}, the text's have {text.shape[-1]}.",
            type="wrong_model",
            hint="Use a style model and a text model of one family.",
        )
    joined = torch.cat([text, tokens.to(text).expand(len(text), -1, -1)], dim=1)
    bias = condition.extra.get(ATTENTION_BIAS)
    if not isinstance(bias, Tensor):
        return condition.with_changes(tokens=joined)
    wider = widened_bias(bias, tokens.shape[1], 0.0)
    return condition.with_changes(tokens=joined, extra={**condition.extra, ATTENTION_BIAS: wider})


def _with_weighted_tokens(condition: Conditioning, tokens: Tensor, strength: float) -> Conditioning:
    text = condition.tokens.shape[1]
    bias = condition.extra.get(ATTENTION_BIAS)
    if not isinstance(bias, Tensor):
        bias = torch.zeros(1, text + 1, text + 1)
    wider = widened_bias(bias, tokens.shape[1], math.log(strength) if strength else -math.inf)
    plain = condition.with_changes(extra={n: v for n, v in condition.extra.items() if n != ATTENTION_BIAS})
    joined = _with_tokens(plain, tokens)
    return joined.with_changes(extra={**joined.extra, ATTENTION_BIAS: wider})


def widened_bias(bias: Tensor, added: int, value: float) -> Tensor:
    """A bias [1, text + 1, text + 1] for a text that is longer by some tokens at its end.

    `value` is what text and image get for the new tokens, which see everything as it is.
    """
    text = bias.shape[-1] - 1
    wider = bias.new_zeros(len(bias), text + added + 1, text + added + 1)
    old = torch.cat([torch.arange(text), torch.tensor([text + added])])
    wider[:, old[:, None], old] = bias
    wider[:, old, text : text + added] = value
    return wider
