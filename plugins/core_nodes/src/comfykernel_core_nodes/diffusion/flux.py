"""The transformer of Flux.1 (Black Forest Labs 2024): blocks of two streams, then blocks of one.

Names equal the keys of the original files. Positions are rotations (Su et al. 2021, arXiv:2104.09864) by three
numbers: an index, the row and the column of a patch; text stands at (0, 0, 0).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.hook_points import NO_HOOKS, Hooks, Point, Site
from comfykernel_core_nodes.diffusion.transformer_parts import (
    RMSNorm,
    attend_heads,
    finite_half,
    heads_first,
    layer_norm,
    modulated,
    padded_to_multiple,
)
from comfykernel_core_nodes.diffusion.unet import timestep_embedding

PATCH = 2
TIME_CHANNELS = 256
# The network's timesteps and guidance are multiplied by this before their sinusoidal embedding.
TIME_FACTOR = 1000.0
# Channels of each head that are rotated by the index; rows and columns share the rest.
INDEX_CHANNELS = 16
ROTATION_BASE = 10000.0

# Where several references stand: beside or below each other; at one place with numbers; along the diagonal after the
# picture (Wu et al. 2025, arXiv:2504.02160, section 3.3).
ReferenceMethod = Literal["offset", "index", "uxo"]


@dataclass(frozen=True, slots=True)
class FluxConfig:
    """Shape of the transformer; `guided` says whether it was distilled with a guidance number (dev)."""

    in_channels: int = 16
    out_channels: int = 16
    width: int = 3072
    head_channels: int = 128
    hidden: int = 12288
    double_blocks: int = 19
    single_blocks: int = 38
    context_width: int = 4096
    vector_width: int = 768
    guided: bool = True

    @property
    def heads(self) -> int:
        """Attention heads."""
        return self.width // self.head_channels

    @property
    def axes(self) -> tuple[int, int, int]:
        """Channels of a head that each of the three numbers of a position rotates."""
        rest = (self.head_channels - INDEX_CHANNELS) // 2
        return INDEX_CHANNELS, rest, rest


class Embedder(nn.Module):
    """Two linear layers around a SiLU."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.in_layer = nn.Linear(channels, width)
        self.out_layer = nn.Linear(width, width)

    def forward(self, vector: Tensor) -> Tensor:
        out: Tensor = self.out_layer(functional.silu(self.in_layer(vector)))
        return out


class QueryKeyNorm(nn.Module):
    """Norms of queries and keys, head by head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query_norm = RMSNorm(channels, name="scale")
        self.key_norm = RMSNorm(channels, name="scale")


class Attention(nn.Module):
    """Projections of one stream."""

    def __init__(self, config: FluxConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, config.width * 3)
        self.norm = QueryKeyNorm(config.head_channels)
        self.proj = nn.Linear(config.width, config.width)

    def project(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, [batch, heads, tokens, channels]."""
        q, k, v = (heads_first(part, self.heads) for part in self.qkv(tokens).chunk(3, dim=-1))
        return self.norm.query_norm(q), self.norm.key_norm(k), v


class Modulation(nn.Module):
    """Shifts, scales and gates made from the vector of a call."""

    def __init__(self, width: int, parts: int) -> None:
        super().__init__()
        self.parts = parts
        self.lin = nn.Linear(width, width * parts)

    def forward(self, vector: Tensor) -> Sequence[Tensor]:
        parts: Sequence[Tensor] = self.lin(functional.silu(vector)).chunk(self.parts, dim=-1)
        return parts


def _mlp(config: FluxConfig) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(config.width, config.hidden), nn.GELU(approximate="tanh"), nn.Linear(config.hidden, config.width)
    )


class DoubleBlock(nn.Module):
    """Image and text through one attention, each with weights of its own."""

    img_mod: Modulation
    txt_mod: Modulation
    img_attn: Attention
    txt_attn: Attention
    img_norm1: nn.Module
    txt_norm1: nn.Module

    def __init__(self, config: FluxConfig) -> None:
        super().__init__()
        for stream in ("img", "txt"):
            setattr(self, f"{stream}_mod", Modulation(config.width, 6))
            setattr(self, f"{stream}_norm1", layer_norm(config.width))
            setattr(self, f"{stream}_attn", Attention(config))
            setattr(self, f"{stream}_norm2", layer_norm(config.width))
            setattr(self, f"{stream}_mlp", _mlp(config))

    def forward(
        self, image: Tensor, text: Tensor, vector: Tensor, rotation: Tensor, bias: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        image_parts, text_parts = self.img_mod(vector), self.txt_mod(vector)
        image_qkv = self.img_attn.project(modulated(self.img_norm1(image), image_parts[0], image_parts[1]))
        text_qkv = self.txt_attn.project(modulated(self.txt_norm1(text), text_parts[0], text_parts[1]))
        q, k, v = (torch.cat(pair, dim=2) for pair in zip(text_qkv, image_qkv, strict=True))
        mixed = attend_heads(rotated(q, rotation), rotated(k, rotation), v, bias)
        length = text.shape[1]
        return (
            self._after("img", image, mixed[:, length:], image_parts),
            finite_half(self._after("txt", text, mixed[:, :length], text_parts)),
        )

    def _after(self, stream: str, tokens: Tensor, mixed: Tensor, parts: Sequence[Tensor]) -> Tensor:
        attention, norm, mlp = (getattr(self, f"{stream}_{part}") for part in ("attn", "norm2", "mlp"))
        tokens = tokens + parts[2][:, None] * attention.proj(mixed)
        out: Tensor = tokens + parts[5][:, None] * mlp(modulated(norm(tokens), parts[3], parts[4]))
        return out


class SingleBlock(nn.Module):
    """Attention and feed-forward side by side, over text and image as one sequence."""

    def __init__(self, config: FluxConfig) -> None:
        super().__init__()
        self.heads, self.width = config.heads, config.width
        self.linear1 = nn.Linear(config.width, config.width * 3 + config.hidden)
        self.linear2 = nn.Linear(config.width + config.hidden, config.width)
        self.norm = QueryKeyNorm(config.head_channels)
        self.pre_norm = layer_norm(config.width)
        self.modulation = Modulation(config.width, 3)

    def forward(self, tokens: Tensor, vector: Tensor, rotation: Tensor, bias: Tensor | None = None) -> Tensor:
        shift, scale, gate = self.modulation(vector)
        both = self.linear1(modulated(self.pre_norm(tokens), shift, scale))
        q, k, v = (heads_first(part, self.heads) for part in both[..., : 3 * self.width].chunk(3, dim=-1))
        q, k = rotated(self.norm.query_norm(q), rotation), rotated(self.norm.key_norm(k), rotation)
        hidden = both[..., 3 * self.width :]
        # On a CPU the GELU of a part of each row takes twice the time of one over whole memory.
        hidden = functional.gelu(hidden.contiguous() if hidden.is_cpu else hidden, approximate="tanh")
        out: Tensor = tokens + gate[:, None] * self.linear2(torch.cat([attend_heads(q, k, v, bias), hidden], dim=-1))
        return finite_half(out)


class FinalLayer(nn.Module):
    """Tokens to patches."""

    def __init__(self, config: FluxConfig) -> None:
        super().__init__()
        self.norm_final = layer_norm(config.width)
        self.linear = nn.Linear(config.width, PATCH * PATCH * config.out_channels)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(config.width, config.width * 2))

    def forward(self, tokens: Tensor, vector: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(vector).chunk(2, dim=-1)
        out: Tensor = self.linear(modulated(self.norm_final(tokens), shift, scale))
        return out


class FluxBase(nn.Module):
    """What goes into the blocks, which control networks share."""

    def __init__(self, config: FluxConfig) -> None:
        super().__init__()
        self.config = config
        self.img_in = nn.Linear(config.in_channels * PATCH * PATCH, config.width)
        self.txt_in = nn.Linear(config.context_width, config.width)
        self.time_in = Embedder(TIME_CHANNELS, config.width)
        self.vector_in = Embedder(config.vector_width, config.width)
        if config.guided:
            self.guidance_in = Embedder(TIME_CHANNELS, config.width)
        self.double_blocks = nn.ModuleList(DoubleBlock(config) for _ in range(config.double_blocks))
        self.single_blocks = nn.ModuleList(SingleBlock(config) for _ in range(config.single_blocks))

    def vector(self, timesteps: Tensor, y: Tensor, guidance: Tensor | None, dtype: torch.dtype) -> Tensor:
        """What modulates all blocks, [batch, width]."""
        vector: Tensor = self.time_in(timestep_embedding(timesteps * TIME_FACTOR, TIME_CHANNELS).to(dtype))
        if self.config.guided and guidance is not None:
            embedded = timestep_embedding(guidance.float() * TIME_FACTOR, TIME_CHANNELS)
            vector = vector + self.guidance_in(embedded.to(dtype))
        pooled: Tensor = self.vector_in(y[:, : self.config.vector_width].to(dtype))
        return vector + pooled

    def rotation(self, positions: Tensor) -> Tensor:
        """Rotations [1, 1, tokens, channels / 2, 2, 2] of positions [tokens, 3]."""
        return torch.cat([rotations(positions[:, n], axis) for n, axis in enumerate(self.config.axes)], dim=1)[
            None, None
        ]


class Flux(FluxBase):
    """Predicts the flow from a noisy latent, its timestep and a text."""

    def __init__(self, config: FluxConfig) -> None:
        super().__init__(config)
        self.final_layer = FinalLayer(config)

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Tensor,
        y: Tensor,
        guidance: Tensor | None = None,
        references: Sequence[Tensor] = (),
        reference_method: ReferenceMethod = "offset",
        attention_bias: Tensor | None = None,
        style: Tensor | None = None,
        control: Mapping[str, Sequence[Tensor | None]] | None = None,
        hooks: Hooks = NO_HOOKS,
    ) -> Tensor:
        """Prediction [batch, out_channels, height, width].

        x: [batch, in_channels, height, width]. timesteps: [batch], 0..1. context: [batch, tokens, context_width].
        y: [batch, vector_width]. guidance: [batch]. references: latents that the picture shall follow (Kontext).
        attention_bias: [batch, tokens + 1, tokens + 1], added to the attention among the text's tokens; the last row
        and column are for every token of the image. style: [batch, tokens, width], before the text. control: residuals
        for the image tokens, after each block of two streams under `input`, of one under `output`.
        """
        image, places = patch_tokens(x)
        count = image.shape[1]
        extra, extra_places = reference_tokens(references, x, len(x), reference_method)
        image = self.img_in(torch.cat([image, *extra], dim=1))
        text = self.txt_in(context)
        if style is not None:
            text = torch.cat([style, text], dim=1)
        site = Site("positions", 0, call=hooks.call)
        seen = [hooks.changed(Point.POSITIONS, each, site) for each in (places, *extra_places)]
        positions = torch.cat([places.new_zeros(text.shape[1], 3), *seen])
        vector = self.vector(timesteps, y, guidance, x.dtype)
        rotation = self.rotation(positions)
        bias = None if attention_bias is None else spread_bias(attention_bias.to(x.dtype), text, image)
        image = self._blocks(image, text, {"vector": vector, "rotation": rotation, "bias": bias}, control or {}, hooks)
        return latent_of(self.final_layer(image[:, :count], vector), x.shape[-2], x.shape[-1])

    def _blocks(
        self,
        image: Tensor,
        text: Tensor,
        common: Mapping[str, Tensor | None],
        control: Mapping[str, Sequence[Tensor | None]],
        hooks: Hooks,
    ) -> Tensor:
        heads = self.config.heads
        for number, block in enumerate(self.double_blocks):
            run = hooks.wrapped(Point.DOUBLE_BLOCK, partial(block, **common), Site("double", number, heads=heads))
            image, text = run(image, text)
            image = _with_residual(image, control.get("input", ()), number)
        length = text.shape[1]
        tokens = torch.cat([text, image], dim=1)
        for number, block in enumerate(self.single_blocks):
            run = hooks.wrapped(Point.SINGLE_BLOCK, partial(block, **common), Site("single", number, heads=heads))
            tokens = run(tokens)
            tokens = _with_residual(tokens, control.get("output", ()), number, start=length)
        return tokens[:, length:]


def _with_residual(tokens: Tensor, residuals: Sequence[Tensor | None], number: int, *, start: int = 0) -> Tensor:
    """A control network's residual added to as many tokens as it has, from `start`."""
    residual = residuals[number] if number < len(residuals) else None
    if residual is None:
        return tokens
    end = start + residual.shape[1]
    return torch.cat([tokens[:, :start], tokens[:, start:end] + residual.to(tokens.dtype), tokens[:, end:]], dim=1)


def patch_tokens(x: Tensor, *, index: int = 0, top: int = 0, left: int = 0) -> tuple[Tensor, Tensor]:
    """Patches of latents as [batch, tokens, channels * 4], and their positions [tokens, 3], float32."""
    x = padded_to_multiple(x, PATCH)
    rows, columns = x.shape[-2] // PATCH, x.shape[-1] // PATCH
    grid = x.view(len(x), x.shape[1], rows, PATCH, columns, PATCH)
    tokens = grid.permute(0, 2, 4, 1, 3, 5).reshape(len(x), rows * columns, -1)
    places = torch.zeros(rows, columns, 3, device=x.device)
    places[..., 0] = index
    places[..., 1] = torch.arange(top, top + rows, device=x.device)[:, None]
    places[..., 2] = torch.arange(left, left + columns, device=x.device)[None, :]
    return tokens, places.flatten(0, 1)


def latent_of(patches: Tensor, height: int, width: int) -> Tensor:
    """The latent [batch, channel, height, width] of patches, without what was padded."""
    rows, columns = -(-height // PATCH), -(-width // PATCH)
    grid = patches.view(len(patches), rows, columns, -1, PATCH, PATCH)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(len(patches), -1, rows * PATCH, columns * PATCH)[..., :height, :width]


def reference_tokens(
    references: Sequence[Tensor], x: Tensor, batch: int, method: ReferenceMethod = "offset"
) -> tuple[list[Tensor], list[Tensor]]:
    """Tokens and positions of reference latents, beside those of x [batch, channel, height, width]."""
    tokens: list[Tensor] = []
    places: list[Tensor] = []
    for reference, (index, top, left) in zip(references, _reference_places(references, x, method), strict=True):
        # Offsets are latent units here and patches there.
        rows, columns = (-(-offset // PATCH) for offset in (top, left))
        patches, positions = patch_tokens(reference.to(x), index=index, top=rows, left=columns)
        tokens.append(patches.expand(batch, -1, -1) if len(patches) == 1 else patches[:batch])
        places.append(positions)
    return tokens, places


def _reference_places(
    references: Sequence[Tensor], x: Tensor, method: ReferenceMethod
) -> Iterator[tuple[int, int, int]]:
    """Index, top and left of each reference, the latter in latent units."""
    height = width = 0
    if method == "uxo":
        height, width = (-(-side // PATCH) * PATCH for side in x.shape[-2:])
    for number, reference in enumerate(references, start=1):
        rows, columns = reference.shape[-2:]
        if method == "index":
            yield number, 0, 0
        elif method == "uxo":
            yield 0, height, width
            height, width = height + rows, width + columns
        elif rows + height > columns + width:
            yield 1, 0, width
            height, width = max(height, rows), width + columns
        else:
            yield 1, height, 0
            height, width = height + rows, max(width, columns)


def spread_bias(bias: Tensor, text: Tensor, image: Tensor) -> Tensor:
    """A bias [batch, tokens + 1, tokens + 1] for the last tokens of a text as [batch, 1, all tokens, all tokens].

    Its last row and column are for all tokens of the image; tokens before those that it is for have none.
    """
    known = bias.shape[-1] - 1
    before = text.shape[1] - known
    places = torch.cat([torch.arange(before + known), torch.full((image.shape[1],), before + known)]).to(bias.device)
    bias = functional.pad(bias, (before, 0, before, 0))
    return bias[:, None, places][..., places]


def rotations(numbers: Tensor, channels: int) -> Tensor:
    """Matrices [tokens, channels / 2, 2, 2] that rotate pairs of channels by a number of each token."""
    steps = torch.arange(0, channels, 2, dtype=torch.float64, device=numbers.device) / channels
    angles = numbers.double()[:, None] * ROTATION_BASE**-steps
    cos, sin = angles.cos(), angles.sin()
    matrices: Tensor = torch.stack([cos, -sin, sin, cos], dim=-1).unflatten(-1, (2, 2))
    return matrices.float()


def rotated(tokens: Tensor, rotation: Tensor) -> Tensor:
    """Heads [batch, heads, tokens, channels] with neighbouring channels rotated; computed in float32."""
    pairs: Tensor = tokens.float().unflatten(-1, (-1, 1, 2))
    return (rotation[..., 0] * pairs[..., 0] + rotation[..., 1] * pairs[..., 1]).flatten(-2).to(tokens.dtype)


def flux_config_from(shapes: Mapping[str, tuple[int, ...]]) -> FluxConfig:
    """Configuration of the transformer whose tensors have these shapes; keys are without a prefix.

    Raises KeyError when a tensor that every such transformer has is missing.
    """
    width, patch_channels = shapes["img_in.weight"]
    outputs = shapes.get("final_layer.linear.weight")
    return FluxConfig(
        in_channels=patch_channels // PATCH**2,
        out_channels=(outputs[0] if outputs else patch_channels) // PATCH**2,
        width=width,
        head_channels=shapes["double_blocks.0.img_attn.norm.query_norm.scale"][0],
        hidden=shapes["double_blocks.0.img_mlp.0.weight"][0],
        double_blocks=_count(shapes, "double_blocks.{}.img_attn.qkv.weight"),
        single_blocks=_count(shapes, "single_blocks.{}.linear1.weight"),
        context_width=shapes["txt_in.weight"][1],
        vector_width=shapes["vector_in.in_layer.weight"][1],
        guided="guidance_in.in_layer.weight" in shapes,
    )


def _count(shapes: Mapping[str, tuple[int, ...]], pattern: str) -> int:
    count = 0
    while pattern.format(count) in shapes:
        count += 1
    return count
