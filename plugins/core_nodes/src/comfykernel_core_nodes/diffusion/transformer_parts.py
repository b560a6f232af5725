"""Small parts that transformers of images share: padding to patches, modulation, norms."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.attention_kernel import scaled_attention

# Largest finite number of float16: what overflows there is cut to it.
HALF_MAX = 65504.0


def padded_to_multiple(maps: Tensor, multiple: int) -> Tensor:
    """Maps [batch, channel, height, width] continued at their right and lower sides by their own beginning."""
    height, width = maps.shape[-2:]
    right, below = -width % multiple, -height % multiple
    if not right and not below:
        return maps
    return functional.pad(maps, (0, right, 0, below), mode="circular")


def modulated(tokens: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Tokens [batch, tokens, width], scaled and shifted by vectors [batch, width] (adaLN; Peebles and Xie 2022)."""
    return tokens * (1 + scale[:, None]) + shift[:, None]


def layer_norm(width: int) -> nn.LayerNorm:
    """A layer norm without weights: the modulation after it has them."""
    return nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)


class RMSNorm(nn.Module):
    """Scales vectors to a mean square of 1 and by a weight, named `weight` or `scale` in checkpoints."""

    def __init__(self, width: int, *, name: str = "weight") -> None:
        super().__init__()
        self.name = name
        self.register_parameter(name, nn.Parameter(torch.empty(width)))

    def forward(self, vectors: Tensor) -> Tensor:
        weight: Tensor = getattr(self, self.name)
        return functional.rms_norm(vectors, weight.shape, weight, eps=1e-6)


def heads_first(tokens: Tensor, heads: int) -> Tensor:
    """[batch, tokens, width] to [batch, heads, tokens, width / heads]."""
    split: Tensor = tokens.unflatten(2, (heads, -1))
    return split.transpose(1, 2)


def attend_heads(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """Attention of [batch, heads, tokens, channels], back to [batch, tokens, width].

    bias: added before the softmax, [batch, 1, tokens, tokens] in the precision of q.
    """
    return scaled_attention(q, k, v, bias).transpose(1, 2).flatten(2)


def finite_half(tokens: Tensor) -> Tensor:
    """Tokens in float16 with overflows cut; other precisions as they are."""
    if tokens.dtype != torch.float16:
        return tokens
    return torch.nan_to_num(tokens, nan=0.0, posinf=HALF_MAX, neginf=-HALF_MAX)
