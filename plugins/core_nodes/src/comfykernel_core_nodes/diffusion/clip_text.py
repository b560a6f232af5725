"""The CLIP text transformer (Radford et al. 2021, section 2.4), in the layout of SD1.x checkpoints.

Module names equal the keys below `cond_stage_model.transformer.text_model.`; a projection of the pooled vector,
where a checkpoint has one, is `text_projection.weight`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

Activation = Literal["quick_gelu", "gelu"]

# Channels of one attention head in all published CLIP text models.
HEAD_CHANNELS = 64


@dataclass(frozen=True, slots=True)
class ClipTextConfig:
    """Shape of a text model. `projection_dim` is None where the checkpoint has no text projection."""

    width: int = 768
    layers: int = 12
    heads: int = 12
    intermediate: int = 3072
    vocabulary: int = 49408
    positions: int = 77
    activation: Activation = "quick_gelu"
    projection_dim: int | None = None
    end_token: int = 49407


class TextEncoding(NamedTuple):
    """What the text model gives: a vector for each token and one for the whole text."""

    hidden: Tensor
    """[batch, tokens, width]"""
    pooled: Tensor
    """[batch, projection_dim or width]: the last layer, normalised, at the first end token"""


class SelfAttention(nn.Module):
    """Causal multi-head self-attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = (
            layer(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        out: Tensor = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return out


class Mlp(nn.Module):
    """Two linear layers around the model's activation."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.quick = config.activation == "quick_gelu"
        self.fc1 = nn.Linear(config.width, config.intermediate)
        self.fc2 = nn.Linear(config.intermediate, config.width)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.fc1(tokens)
        hidden = hidden * torch.sigmoid(1.702 * hidden) if self.quick else functional.gelu(hidden)
        out: Tensor = self.fc2(hidden)
        return out


class EncoderLayer(nn.Module):
    """Attention and feed-forward, each normalised first and added."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.self_attn = SelfAttention(config.width, config.heads)
        self.layer_norm1 = nn.LayerNorm(config.width)
        self.mlp = Mlp(config)
        self.layer_norm2 = nn.LayerNorm(config.width)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.self_attn(self.layer_norm1(tokens))
        out: Tensor = tokens + self.mlp(self.layer_norm2(tokens))
        return out


class Embeddings(nn.Module):
    """A row for each token and a row for each position."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocabulary, config.width)
        self.position_embedding = nn.Embedding(config.positions, config.width)


class Layers(nn.Module):
    """The stack of layers; its name is part of the checkpoint's keys."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))


class ClipTextModel(nn.Module):
    """Token ids to the conditioning of a UNet."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.encoder = Layers(config)
        self.final_layer_norm = nn.LayerNorm(config.width)
        if config.projection_dim is not None:
            self.text_projection = nn.Linear(config.width, config.projection_dim, bias=False)

    def embed(self, ids: Tensor) -> Tensor:
        """Embedding rows [batch, tokens, width] of ids [batch, tokens], without positions."""
        rows: Tensor = self.embeddings.token_embedding(ids)
        return rows

    def forward(
        self,
        ids: Tensor,
        *,
        rows: Tensor | None = None,
        layer: int = -1,
        final_norm: bool = True,
        project: bool = True,
    ) -> TextEncoding:
        """Encode ids [batch, tokens] of at most `positions` tokens.

        rows: embedding rows [batch, tokens, width] to use instead of `embed(ids)` (textual inversion).
        layer: which layer's output becomes `hidden`; -1 is the last, -2 the last but one (clip skip), down to
        -layers. final_norm: whether `hidden` passes the final layer norm. project: whether `pooled` passes the text
        projection, where the model has one.
        Raises ValueError when the model has no such layer.
        """
        count = self.config.layers
        if not -count <= layer <= -1:
            raise ValueError(f"layer must be between -{count} and -1, not {layer}")
        tokens = self.embed(ids) if rows is None else rows
        tokens = tokens + self.embeddings.position_embedding.weight[: tokens.shape[1]]
        chosen = tokens
        for index, block in enumerate(self.encoder.layers):
            tokens = block(tokens)
            if index == count + layer:
                chosen = tokens
        normed = self.final_layer_norm(tokens)
        hidden = chosen
        if final_norm:
            hidden = normed if layer == -1 else self.final_layer_norm(chosen)
        return TextEncoding(hidden, self._pool(ids, normed, project=project))

    def _pool(self, ids: Tensor, normed: Tensor, *, project: bool) -> Tensor:
        end = (ids == self.config.end_token).int().argmax(dim=1)
        pooled = normed[torch.arange(len(normed), device=normed.device), end]
        if project and self.config.projection_dim is not None:
            pooled = self.text_projection(pooled)
        return pooled


def clip_text_config_from(
    shapes: Mapping[str, tuple[int, ...]], *, activation: Activation = "quick_gelu", heads: int | None = None
) -> ClipTextConfig:
    """Configuration of the text model whose tensors have these shapes; keys as in this module.

    The activation cannot be seen in the shapes: SD1 and the L model of SDXL use quick_gelu, SD2 and the G model gelu;
    nor can the number of heads, by default one for 64 channels.
    Raises KeyError when a tensor that every text model has is missing.
    """
    vocabulary, width = shapes["embeddings.token_embedding.weight"]
    layers = 0
    while f"encoder.layers.{layers}.layer_norm1.weight" in shapes:
        layers += 1
    projection = shapes.get("text_projection.weight")
    return ClipTextConfig(
        width=width,
        layers=layers,
        heads=heads or max(1, width // HEAD_CHANNELS),
        intermediate=shapes["encoder.layers.0.mlp.fc1.weight"][0],
        vocabulary=vocabulary,
        positions=shapes["embeddings.position_embedding.weight"][0],
        activation=activation,
        projection_dim=projection[0] if projection else None,
    )
