"""The encoder of T5 v1.1 and its relatives (Raffel et al. 2020, arXiv:1910.10683), named as in published files.

Also T5 v1.0 (one ReLU layer instead of a gated GELU) and UMT5 (position bias of its own in every block).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

# Relative distances fall into 32 buckets, half of them exact, the rest logarithmic up to this distance.
POSITION_BUCKETS = 32
FARTHEST_POSITION = 128
# Channels of one attention head in all published models.
HEAD_CHANNELS = 64


@dataclass(frozen=True, slots=True)
class T5Config:
    """Shape of an encoder. `own_bias` is true for UMT5, `gated` false for T5 v1.0."""

    width: int = 4096
    hidden: int = 10240
    layers: int = 24
    heads: int = 64
    head_channels: int = HEAD_CHANNELS
    vocabulary: int = 32128
    gated: bool = True
    own_bias: bool = False


class RootMeanSquareNorm(nn.Module):
    """Scales tokens to a mean square of 1, computed in float32 (Zhang and Sennrich 2019); no mean, no bias."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))

    def forward(self, tokens: Tensor) -> Tensor:
        scale = torch.rsqrt(tokens.float().pow(2).mean(-1, keepdim=True) + 1e-6)
        return self.weight * (tokens * scale).to(self.weight.dtype)


class SelfAttention(nn.Module):
    """Attention among all tokens with a learned bias by relative position; queries are not scaled."""

    def __init__(self, config: T5Config, *, biased: bool) -> None:
        super().__init__()
        self.heads = config.heads
        inner = config.heads * config.head_channels
        self.q = nn.Linear(config.width, inner, bias=False)
        self.k = nn.Linear(config.width, inner, bias=False)
        self.v = nn.Linear(config.width, inner, bias=False)
        self.o = nn.Linear(inner, config.width, bias=False)
        if biased:
            self.relative_attention_bias = nn.Embedding(POSITION_BUCKETS, config.heads)

    def bias(self, count: int, dtype: torch.dtype) -> Tensor:
        """[1, heads, count, count]"""
        table = self.relative_attention_bias
        places = torch.arange(count, device=table.weight.device)
        buckets = position_buckets(places[None, :] - places[:, None])
        out: Tensor = table(buckets).permute(2, 0, 1)[None].to(dtype)
        return out.contiguous()

    def forward(self, tokens: Tensor, bias: Tensor) -> Tensor:
        q, k, v = (layer(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        out: Tensor = self.o(mixed.transpose(1, 2).flatten(2))
        return out


class FeedForward(nn.Module):
    """A gated GELU (Shazeer 2020), or one ReLU layer."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        if config.gated:
            self.wi_0 = nn.Linear(config.width, config.hidden, bias=False)
            self.wi_1 = nn.Linear(config.width, config.hidden, bias=False)
        else:
            self.wi = nn.Linear(config.width, config.hidden, bias=False)
        self.wo = nn.Linear(config.hidden, config.width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        if hasattr(self, "wi"):
            hidden = functional.relu(self.wi(tokens))
        else:
            hidden = functional.gelu(self.wi_0(tokens), approximate="tanh") * self.wi_1(tokens)
        out: Tensor = self.wo(hidden)
        return out


class AttentionLayer(nn.Module):
    """First half of a block: norm, attention, residual."""

    def __init__(self, config: T5Config, *, biased: bool) -> None:
        super().__init__()
        self.SelfAttention = SelfAttention(config, biased=biased)
        self.layer_norm = RootMeanSquareNorm(config.width)

    def forward(self, tokens: Tensor, bias: Tensor) -> Tensor:
        out: Tensor = tokens + self.SelfAttention(self.layer_norm(tokens), bias)
        return out


class FeedForwardLayer(nn.Module):
    """Second half of a block: norm, feed-forward, residual."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.DenseReluDense = FeedForward(config)
        self.layer_norm = RootMeanSquareNorm(config.width)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = tokens + self.DenseReluDense(self.layer_norm(tokens))
        return out


class Block(nn.Module):
    """One layer of the encoder; its two halves are numbered in published files.

    A block that has position biases of its own makes the bias of its attention; others take that of the first block.
    """

    def __init__(self, config: T5Config, *, biased: bool) -> None:
        super().__init__()
        self.biased = biased
        self.layer = nn.ModuleList([AttentionLayer(config, biased=biased), FeedForwardLayer(config)])

    def forward(self, tokens: Tensor, bias: Tensor | None, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Tokens after this layer, and the bias that was added to its attention."""
        attention, feed_forward = cast("tuple[AttentionLayer, nn.Module]", self.layer)
        if bias is None or self.biased:
            bias = _masked(attention.SelfAttention.bias(tokens.shape[1], tokens.dtype), mask)
        return feed_forward(attention(tokens, bias)), bias


class Stack(nn.Module):
    """The blocks and the last norm."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.block = nn.ModuleList(
            Block(config, biased=config.own_bias or index == 0) for index in range(config.layers)
        )
        self.final_layer_norm = RootMeanSquareNorm(config.width)


class T5Encoder(nn.Module):
    """Token ids to one vector a token."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.config = config
        self.shared = nn.Embedding(config.vocabulary, config.width)
        self.encoder = Stack(config)

    def forward(
        self, ids: Tensor, *, rows: Tensor | None = None, mask: Tensor | None = None, layer: int = -1
    ) -> Tensor:
        """Encode ids [batch, tokens] to normalised [batch, tokens, width].

        rows: embedding rows [batch, tokens, width] to use instead of those of the ids. mask: [batch, tokens], true
        where a token counts. layer: whose output is taken; -1 is the last, down to -layers.
        """
        tokens = self.shared(ids) if rows is None else rows
        hidden: Tensor | None = None
        bias: Tensor | None = None
        for index, block in enumerate(self.encoder.block):
            tokens, bias = block(tokens, bias, mask)
            if index == self.config.layers + layer:
                hidden = tokens
        out: Tensor = self.encoder.final_layer_norm(tokens if hidden is None else hidden)
        return out


def _masked(bias: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return bias
    hidden = ~mask.bool()[:, None, None, :]
    return bias.expand(len(mask), -1, -1, -1).masked_fill(hidden, torch.finfo(bias.dtype).min)


def position_buckets(distances: Tensor) -> Tensor:
    """Bucket of each distance (key place minus query place): the sign takes half of them (T5, section 2.1)."""
    half = POSITION_BUCKETS // 2
    exact = half // 2
    size = distances.abs()
    steps = torch.log(size.float().clamp(min=1) / exact) / math.log(FARTHEST_POSITION / exact) * (half - exact)
    far = (exact + steps.long()).clamp(max=half - 1)
    return (distances > 0).long() * half + torch.where(size < exact, size, far)


def t5_config_from(shapes: Mapping[str, tuple[int, ...]]) -> T5Config:
    """Configuration of the encoder whose tensors have these shapes.

    Raises KeyError when a tensor that every encoder has is missing.
    """
    vocabulary, width = shapes["shared.weight"]
    layers = 0
    while f"encoder.block.{layers}.layer.0.SelfAttention.q.weight" in shapes:
        layers += 1
    dense = "encoder.block.0.layer.1.DenseReluDense."
    heads = shapes["encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"][1]
    gated = f"{dense}wi_0.weight" in shapes
    return T5Config(
        width=width,
        hidden=shapes[f"{dense}wi_0.weight" if gated else f"{dense}wi.weight"][0],
        layers=layers,
        heads=heads,
        head_channels=shapes["encoder.block.0.layer.0.SelfAttention.q.weight"][0] // heads,
        vocabulary=vocabulary,
        gated=gated,
        own_bias="encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight" in shapes,
    )
