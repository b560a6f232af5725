"""The multimodal diffusion transformer of SD3 and SD3.5 (Esser et al. 2024, arXiv:2403.03206, section 4).

Image and text are two streams of tokens with weights of their own that meet in one attention. Names equal the keys of
the original checkpoints below `model.diffusion_model.`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import starmap

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.errors import LatentShapeError
from comfykernel_core_nodes.diffusion.hook_points import NO_HOOKS, Hooks, Point, Site
from comfykernel_core_nodes.diffusion.transformer_parts import (
    RMSNorm,
    attend_heads,
    heads_first,
    layer_norm,
    modulated,
    padded_to_multiple,
)
from comfykernel_core_nodes.diffusion.unet import timestep_embedding

PATCH = 2
HEAD_CHANNELS = 64
# Channels of the sinusoidal embedding of the timestep.
TIME_CHANNELS = 256


@dataclass(frozen=True, slots=True)
class MMDiTConfig:
    """Shape of the transformer.

    `normed` says whether queries and keys are normalised (SD3.5); `twofold` are the blocks whose image stream also
    attends to itself alone (SD3.5 medium). `positions` is the side of the table of positions, in patches.
    """

    in_channels: int = 16
    out_channels: int = 16
    width: int = 1536
    blocks: int = 24
    context_width: int = 4096
    vector_width: int = 2048
    positions: int = 192
    hidden: int = 6144
    normed: bool = False
    twofold: frozenset[int] = frozenset()
    last_context_whole: bool = False

    @property
    def heads(self) -> int:
        """Attention heads."""
        return self.width // HEAD_CHANNELS


class VectorEmbedder(nn.Module):
    """Two linear layers around a SiLU."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(channels, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, vector: Tensor) -> Tensor:
        out: Tensor = self.mlp(vector)
        return out


class PatchEmbedder(nn.Module):
    """Patches of 2 x 2 latent units to tokens."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, PATCH, stride=PATCH)

    def forward(self, x: Tensor) -> Tensor:
        patches: Tensor = self.proj(padded_to_multiple(x, PATCH))
        return patches.flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """Projections of one stream; what it attends to is joined outside. `whole`: with a way back to the stream."""

    def __init__(self, config: MMDiTConfig, *, whole: bool = True) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, config.width * 3)
        if whole:
            self.proj = nn.Linear(config.width, config.width)
        if config.normed:
            self.ln_q = RMSNorm(HEAD_CHANNELS)
            self.ln_k = RMSNorm(HEAD_CHANNELS)

    def project(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, [batch, heads, tokens, channels]."""
        q, k, v = (heads_first(part, self.heads) for part in self.qkv(tokens).chunk(3, dim=-1))
        if hasattr(self, "ln_q"):
            q, k = self.ln_q(q), self.ln_k(k)
        return q, k, v


class Mlp(nn.Module):
    """Feed-forward part of a block."""

    def __init__(self, config: MMDiTConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.width, config.hidden)
        self.fc2 = nn.Linear(config.hidden, config.width)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.fc2(functional.gelu(self.fc1(tokens), approximate="tanh"))
        return out


class StreamBlock(nn.Module):
    """One stream's half of a block: what goes into the common attention, and what is made of its result.

    `whole` is false for the text stream of the last block, whose result nobody reads.
    """

    def __init__(self, config: MMDiTConfig, *, whole: bool = True, twofold: bool = False) -> None:
        super().__init__()
        self.norm1 = layer_norm(config.width)
        self.attn = Attention(config, whole=whole)
        if whole:
            self.norm2 = layer_norm(config.width)
            self.mlp = Mlp(config)
        if twofold:
            self.attn2 = Attention(config)
        self.parts = 9 if twofold else 6 if whole else 2
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(config.width, config.width * self.parts))

    def before(self, tokens: Tensor, vector: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], Sequence[Tensor]]:
        """Queries, keys and values for the common attention, and the modulation that `after` needs."""
        parts = self.adaLN_modulation(vector).chunk(self.parts, dim=-1)
        return self.attn.project(modulated(self.norm1(tokens), parts[0], parts[1])), parts

    def after(self, tokens: Tensor, mixed: Tensor, parts: Sequence[Tensor]) -> Tensor:
        """The stream with the attention's result and the feed-forward part added."""
        gate, shift_mlp, scale_mlp, gate_mlp = (part[:, None] for part in parts[2:6])
        own = 0.0
        if hasattr(self, "attn2"):
            q, k, v = self.attn2.project(modulated(self.norm1(tokens), parts[6], parts[7]))
            own = parts[8][:, None] * self.attn2.proj(attend_heads(q, k, v))
        tokens = tokens + gate * self.attn.proj(mixed) + own
        out: Tensor = tokens + gate_mlp * self.mlp(self.norm2(tokens) * (1 + scale_mlp) + shift_mlp)
        return out


class JointBlock(nn.Module):
    """Both streams through one attention."""

    def __init__(self, config: MMDiTConfig, *, last: bool, twofold: bool) -> None:
        super().__init__()
        self.context_block = StreamBlock(config, whole=not last)
        self.x_block = StreamBlock(config, twofold=twofold)
        self.last = last

    def forward(self, x: Tensor, context: Tensor, vector: Tensor) -> tuple[Tensor, Tensor]:
        context_qkv, context_parts = self.context_block.before(context, vector)
        x_qkv, x_parts = self.x_block.before(x, vector)
        q, k, v = starmap(_after_context, zip(context_qkv, x_qkv, strict=True))
        mixed = attend_heads(q, k, v)
        length = context.shape[1]
        if not self.last:
            context = self.context_block.after(context, mixed[:, :length], context_parts)
        return self.x_block.after(x, mixed[:, length:], x_parts), context


def _after_context(context: Tensor, x: Tensor) -> Tensor:
    return torch.cat([context, x], dim=2)


class FinalLayer(nn.Module):
    """Tokens to patches."""

    def __init__(self, config: MMDiTConfig) -> None:
        super().__init__()
        self.norm_final = layer_norm(config.width)
        self.linear = nn.Linear(config.width, PATCH * PATCH * config.out_channels)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(config.width, config.width * 2))

    def forward(self, tokens: Tensor, vector: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(vector).chunk(2, dim=-1)
        out: Tensor = self.linear(modulated(self.norm_final(tokens), shift, scale))
        return out


class MMDiTBase(nn.Module):
    """The tokens of a call and the blocks, which control networks share."""

    def __init__(self, config: MMDiTConfig) -> None:
        super().__init__()
        self.config = config
        self.x_embedder = PatchEmbedder(config.in_channels, config.width)
        self.pos_embed = nn.Parameter(torch.empty(1, config.positions**2, config.width))
        self.t_embedder = VectorEmbedder(TIME_CHANNELS, config.width)
        self.y_embedder = VectorEmbedder(config.vector_width, config.width)
        self.context_embedder = nn.Linear(config.context_width, config.width)
        self.joint_blocks = nn.ModuleList(
            JointBlock(
                config,
                last=number == config.blocks - 1 and not config.last_context_whole,
                twofold=number in config.twofold,
            )
            for number in range(config.blocks)
        )

    def image_tokens(self, x: Tensor) -> Tensor:
        """Tokens of latents [batch, channel, height, width], with positions."""
        tokens: Tensor = self.x_embedder(x)
        return tokens + self.positions(x.shape[-2], x.shape[-1]).to(x.dtype)

    def positions(self, height: int, width: int) -> Tensor:
        """The middle of the table of positions, for a latent's size; raises `LatentShapeError` when it is larger."""
        side = self.config.positions
        rows, columns = -(-height // PATCH), -(-width // PATCH)
        if rows > side or columns > side:
            most = side * PATCH * 8
            raise LatentShapeError(
                f"This model takes pictures of up to {most}x{most} pixels; asked were {width * 8}x{height * 8}."
            )
        top, left = (side - rows) // 2, (side - columns) // 2
        table = self.pos_embed.view(1, side, side, -1)[:, top : top + rows, left : left + columns]
        return table.flatten(1, 2)

    def vector(self, timesteps: Tensor, y: Tensor, dtype: torch.dtype) -> Tensor:
        """What modulates all blocks, [batch, width]."""
        time: Tensor = self.t_embedder(timestep_embedding(timesteps, TIME_CHANNELS).to(dtype))
        vector: Tensor = time + self.y_embedder(y.to(dtype))
        return vector


class MMDiT(MMDiTBase):
    """Predicts the flow from a noisy latent, its timestep and a text."""

    def __init__(self, config: MMDiTConfig) -> None:
        super().__init__(config)
        self.final_layer = FinalLayer(config)

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Tensor,
        y: Tensor,
        control: Mapping[str, Sequence[Tensor | None]] | None = None,
        hooks: Hooks = NO_HOOKS,
    ) -> Tensor:
        """Prediction [batch, out_channels, height, width].

        x: [batch, in_channels, height, width]. timesteps: [batch], 0..1000. context: [batch, tokens, context_width].
        y: [batch, vector_width]. control: residuals for the image stream after each block, under `output`.
        """
        tokens, text = self.image_tokens(x), self.context_embedder(context)
        vector = self.vector(timesteps, y, x.dtype)
        added = list((control or {}).get("output", ()))
        for number, block in enumerate(self.joint_blocks):
            run = hooks.wrapped(Point.DOUBLE_BLOCK, partial(block, vector=vector), Site("double", number))
            tokens, text = run(tokens, text)
            if number < len(added) and (residual := added[number]) is not None:
                tokens = tokens + residual.to(tokens.dtype)
        return self._latent(self.final_layer(tokens, vector), x.shape[-2], x.shape[-1])

    def _latent(self, patches: Tensor, height: int, width: int) -> Tensor:
        rows, columns = -(-height // PATCH), -(-width // PATCH)
        grid = patches.view(len(patches), rows, columns, PATCH, PATCH, self.config.out_channels)
        maps = grid.permute(0, 5, 1, 3, 2, 4).reshape(len(patches), -1, rows * PATCH, columns * PATCH)
        return maps[..., :height, :width]


def mmdit_config_from(shapes: Mapping[str, tuple[int, ...]]) -> MMDiTConfig:
    """Configuration of the transformer whose tensors have these shapes; keys are without `model.diffusion_model.`.

    Raises KeyError when a tensor that every such transformer has is missing.
    """
    width, in_channels = shapes["x_embedder.proj.weight"][:2]
    blocks = 0
    while f"joint_blocks.{blocks}.x_block.attn.qkv.weight" in shapes:
        blocks += 1
    outputs = shapes.get("final_layer.linear.weight")
    return MMDiTConfig(
        in_channels=in_channels,
        out_channels=outputs[0] // PATCH**2 if outputs else in_channels,
        width=width,
        blocks=blocks,
        context_width=shapes["context_embedder.weight"][1],
        vector_width=shapes["y_embedder.mlp.0.weight"][1],
        positions=math.isqrt(shapes["pos_embed"][1]),
        hidden=shapes["joint_blocks.0.x_block.mlp.fc1.weight"][0],
        normed="joint_blocks.0.x_block.attn.ln_q.weight" in shapes,
        twofold=frozenset(n for n in range(blocks) if f"joint_blocks.{n}.x_block.attn2.qkv.weight" in shapes),
        last_context_whole=f"joint_blocks.{blocks - 1}.context_block.attn.proj.weight" in shapes,
    )
