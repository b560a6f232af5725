"""Image encoders: CLIP's vision transformer (Radford et al. 2021, section 2.4) and SigLIP (Zhai et al. 2023).

Names equal the keys of published files in the layout of Hugging Face.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

VisionActivation = Literal["quick_gelu", "gelu", "gelu_tanh"]

# Attention heads of all published models but the smallest, whose heads have 64 channels.
HEADS = 16
SMALL_WIDTH = 768
# Layers of SigLIP, counted from its end, whose tokens style models want besides the last ones.
EARLIER_LAYERS = (-20, -11)
# Width of the models that were trained with the fast approximation of GELU: B and L.
QUICK_WIDTHS = frozenset({768, 1024})


@dataclass(frozen=True, slots=True)
class ClipVisionConfig:
    """Shape of an image encoder. `siglip`: no class token, no first norm, all tokens normalised at the end."""

    width: int = 1024
    layers: int = 24
    heads: int = HEADS
    intermediate: int = 4096
    patch: int = 14
    image: int = 224
    activation: VisionActivation = "quick_gelu"
    projection: int | None = 768
    siglip: bool = False

    @property
    def positions(self) -> int:
        """Tokens of an image."""
        return (self.image // self.patch) ** 2 + (not self.siglip)


class VisionEncoding(NamedTuple):
    """What an image encoder gives."""

    last_hidden_state: Tensor
    """[batch, tokens, width]"""
    penultimate_hidden_states: Tensor
    """[batch, tokens, width]: the last layer but one"""
    image_embeds: Tensor
    """[batch, projection]; of SigLIP the normalised tokens"""
    earlier_hidden_states: tuple[Tensor, ...] = ()
    """[batch, tokens, width] after each of `EARLIER_LAYERS`, of SigLIP only"""


class SelfAttention(nn.Module):
    """Attention among all patches."""

    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.q_proj = nn.Linear(config.width, config.width)
        self.k_proj = nn.Linear(config.width, config.width)
        self.v_proj = nn.Linear(config.width, config.width)
        self.out_proj = nn.Linear(config.width, config.width)

    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = (
            layer(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        out: Tensor = self.out_proj(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return out


class Mlp(nn.Module):
    """Two linear layers around the model's activation."""

    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.activation = config.activation
        self.fc1 = nn.Linear(config.width, config.intermediate)
        self.fc2 = nn.Linear(config.intermediate, config.width)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.fc1(tokens)
        if self.activation == "quick_gelu":
            hidden = hidden * torch.sigmoid(1.702 * hidden)
        else:
            hidden = functional.gelu(hidden, approximate="tanh" if self.activation == "gelu_tanh" else "none")
        out: Tensor = self.fc2(hidden)
        return out


class EncoderLayer(nn.Module):
    """Attention and feed-forward, each normalised first and added."""

    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.width)
        self.self_attn = SelfAttention(config)
        self.layer_norm2 = nn.LayerNorm(config.width)
        self.mlp = Mlp(config)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.self_attn(self.layer_norm1(tokens))
        out: Tensor = tokens + self.mlp(self.layer_norm2(tokens))
        return out


class Embeddings(nn.Module):
    """Patches to tokens, with positions and, in CLIP, a class token before them."""

    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        if not config.siglip:
            self.class_embedding = nn.Parameter(torch.empty(config.width))
        self.patch_embedding = nn.Conv2d(3, config.width, config.patch, stride=config.patch, bias=config.siglip)
        self.position_embedding = nn.Embedding(config.positions, config.width)

    def forward(self, pixels: Tensor) -> Tensor:
        tokens = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        if hasattr(self, "class_embedding"):
            tokens = torch.cat([self.class_embedding.expand(len(tokens), 1, -1), tokens], dim=1)
        out: Tensor = tokens + self.position_embedding.weight
        return out


class Layers(nn.Module):
    """The stack of layers; its name is part of the keys."""

    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(config.layers))


class VisionTransformer(nn.Module):
    """The encoder without the projection."""

    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        if not config.siglip:
            # The published name is misspelt.
            self.pre_layrnorm = nn.LayerNorm(config.width)
        self.encoder = Layers(config)
        self.post_layernorm = nn.LayerNorm(config.width)


class ClipVisionModel(nn.Module):
    """Pixels to tokens and one vector for the whole image."""

    def __init__(self, config: ClipVisionConfig) -> None:
        super().__init__()
        self.config = config
        self.vision_model = VisionTransformer(config)
        if config.projection is not None:
            self.visual_projection = nn.Linear(config.width, config.projection, bias=False)

    def forward(self, pixels: Tensor) -> VisionEncoding:
        """Encode pixels [batch, 3, image, image], normalised as the model was trained."""
        model = self.vision_model
        tokens = model.embeddings(pixels)
        if not self.config.siglip:
            tokens = model.pre_layrnorm(tokens)
        penultimate, earlier = tokens, list[Tensor]()
        for index, layer in enumerate(model.encoder.layers):
            tokens = layer(tokens)
            # Counted as in the field, where -1 are the tokens after the last layer.
            place = index - self.config.layers
            if place == -2:
                penultimate = tokens
            if place in EARLIER_LAYERS and self.config.siglip:
                earlier.append(tokens)
        if self.config.siglip:
            tokens = model.post_layernorm(tokens)
            return VisionEncoding(tokens, penultimate, tokens, tuple(earlier))
        embeds = model.post_layernorm(tokens[:, 0])
        if self.config.projection is not None:
            embeds = self.visual_projection(embeds)
        return VisionEncoding(tokens, penultimate, embeds)


def clip_vision_config_from(shapes: Mapping[str, tuple[int, ...]]) -> ClipVisionConfig:
    """Configuration of the encoder whose tensors have these shapes.

    Raises KeyError when a tensor that every encoder has is missing.
    """
    embeddings = "vision_model.embeddings."
    width, _, patch, _ = shapes[f"{embeddings}patch_embedding.weight"]
    positions = shapes[f"{embeddings}position_embedding.weight"][0]
    siglip = f"{embeddings}class_embedding" not in shapes
    layers = 0
    while f"vision_model.encoder.layers.{layers}.layer_norm1.weight" in shapes:
        layers += 1
    projection = shapes.get("visual_projection.weight")
    plain: VisionActivation = "quick_gelu" if width in QUICK_WIDTHS else "gelu"
    return ClipVisionConfig(
        width=width,
        layers=layers,
        heads=HEADS if width > SMALL_WIDTH else max(1, width // 64),
        intermediate=shapes["vision_model.encoder.layers.0.mlp.fc1.weight"][0],
        patch=patch,
        image=math.isqrt(positions - (not siglip)) * patch,
        activation="gelu_tanh" if siglip else plain,
        projection=projection[0] if projection else None,
        siglip=siglip,
    )
