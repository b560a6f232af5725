"""The latent-diffusion UNet (Rombach et al. 2022), in the layout of the original checkpoints.

Module names equal the keys below `model.diffusion_model.`, so a checkpoint loads unchanged into a model that was
made on the meta device: `UNet(config).load_state_dict(tensors, assign=True)`. Nothing is computed at construction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.attention import SpatialTransformer

# Longest wavelength of the timestep embedding, in timesteps.
MAX_PERIOD = 10000.0

# SD1 (1x1 convolution before its transformers) splits into 8 heads; SD2 and SDXL (linear) into heads of 64 channels.
CONVOLUTION_HEADS = 8
LINEAR_HEAD_CHANNELS = 64


@dataclass(frozen=True, slots=True)
class UNetConfig:
    """Shape of a UNet.

    Depths are numbers of transformer blocks: one for each residual block, from the highest resolution to the lowest;
    `transformer_depth_output` is read from its end, because the output half climbs back.
    Exactly one of `num_heads` and `num_head_channels` is positive.
    """

    in_channels: int = 4
    out_channels: int = 4
    model_channels: int = 320
    num_res_blocks: tuple[int, ...] = (2, 2, 2, 2)
    channel_mult: tuple[int, ...] = (1, 2, 4, 4)
    transformer_depth: tuple[int, ...] = (1, 1, 1, 1, 1, 1, 0, 0)
    transformer_depth_output: tuple[int, ...] = (1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0)
    transformer_depth_middle: int = 1
    context_dim: int = 768
    num_heads: int = CONVOLUTION_HEADS
    num_head_channels: int = -1
    use_linear_in_transformer: bool = False
    adm_in_channels: int | None = None

    def heads(self, channels: int) -> int:
        """Number of attention heads in a block of so many channels."""
        return self.num_heads if self.num_heads > 0 else max(1, channels // self.num_head_channels)


def timestep_embedding(timesteps: Tensor, width: int) -> Tensor:
    """Cosines, then sines, of the timesteps [batch] at `width / 2` frequencies: float32 [batch, width].

    Sinusoidal position encoding of Vaswani et al. 2017, section 3.5, with frequencies MAX_PERIOD ** (-i / half).
    """
    half = width // 2
    steps = torch.arange(half, dtype=torch.float32, device=timesteps.device)
    frequencies = torch.exp(-math.log(MAX_PERIOD) * steps / half)
    angles = timesteps.float()[:, None] * frequencies[None]
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class ResBlock(nn.Module):
    """Two convolutions with the time embedding added between them, and a residual."""

    def __init__(self, channels: int, out_channels: int, time_width: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(
            nn.GroupNorm(32, channels), nn.SiLU(), nn.Conv2d(channels, out_channels, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time_width, out_channels))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(32, out_channels),
            nn.SiLU(),
            nn.Identity(),  # dropout in the original numbering
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
        )
        self.skip_connection: nn.Module = (
            nn.Identity() if channels == out_channels else nn.Conv2d(channels, out_channels, 1)
        )

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        hidden = self.in_layers(x) + self.emb_layers(time)[:, :, None, None]
        out: Tensor = self.skip_connection(x) + self.out_layers(hidden)
        return out


class Downsample(nn.Module):
    """Halves height and width, rounding up."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.op(x)
        return out


class Upsample(nn.Module):
    """Enlarges to the given height and width by nearest neighbour, then convolves."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        out: Tensor = self.conv(functional.interpolate(x, size=size, mode="nearest"))
        return out


class Stage(nn.Sequential):
    """One numbered entry of the UNet: its parts run in order, each with what it needs."""

    def forward(self, x: Tensor, time: Tensor, context: Tensor, size: tuple[int, int] | None = None) -> Tensor:  # type: ignore[override]
        for part in self:
            if isinstance(part, ResBlock):
                x = part(x, time)
            elif isinstance(part, SpatialTransformer):
                x = part(x, context)
            elif isinstance(part, Upsample):
                x = part(x, size)
            else:
                x = part(x)
        return x


class UNet(nn.Module):
    """Predicts noise (or velocity) from a noisy latent, its timestep and a text context."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        base = config.model_channels
        self.time_width = base * 4
        self.time_embed = _two_layers(base, self.time_width)
        if config.adm_in_channels is not None:
            self.label_emb = nn.Sequential(_two_layers(config.adm_in_channels, self.time_width))
        self.input_blocks = nn.ModuleList([Stage(nn.Conv2d(config.in_channels, base, 3, padding=1))])
        skips = self._build_input()
        deepest = base * config.channel_mult[-1]
        self.middle_block = Stage(
            ResBlock(deepest, deepest, self.time_width),
            self._transformer(deepest, config.transformer_depth_middle),
            ResBlock(deepest, deepest, self.time_width),
        )
        self.output_blocks = nn.ModuleList()
        self._build_output(skips)
        self.out = nn.Sequential(nn.GroupNorm(32, base), nn.SiLU(), nn.Conv2d(base, config.out_channels, 3, padding=1))

    def forward(self, x: Tensor, timesteps: Tensor, context: Tensor, y: Tensor | None = None) -> Tensor:
        """Prediction [batch, out_channels, height, width].

        x: [batch, in_channels, height, width], any height and width. timesteps: [batch], 0 to 999, fractions allowed.
        context: [batch, tokens, context_dim]. y: [batch, adm_in_channels], for models that have a label embedding.
        """
        time = self.time_embed(timestep_embedding(timesteps, self.config.model_channels).to(x.dtype))
        if self.config.adm_in_channels is not None:
            if y is None:
                raise ValueError(f"this UNet needs y of shape [batch, {self.config.adm_in_channels}]")
            time = time + self.label_emb(y.to(x.dtype))
        skips: list[Tensor] = []
        for stage in self.input_blocks:
            x = stage(x, time, context)
            skips.append(x)
        x = self.middle_block(x, time, context)
        for stage in self.output_blocks:
            x = torch.cat([x, skips.pop()], dim=1)
            size = (skips[-1].shape[2], skips[-1].shape[3]) if skips else None
            x = stage(x, time, context, size)
        out: Tensor = self.out(x)
        return out

    def _transformer(self, channels: int, depth: int) -> SpatialTransformer:
        config = self.config
        return SpatialTransformer(
            channels, config.context_dim, config.heads(channels), depth, linear=config.use_linear_in_transformer
        )

    def _build_input(self) -> list[int]:
        """Fill `input_blocks`; return the channels of every stage's output, in order."""
        config = self.config
        channels = config.model_channels
        skips = [channels]
        depths = iter(config.transformer_depth)
        for level, mult in enumerate(config.channel_mult):
            for _ in range(config.num_res_blocks[level]):
                parts: list[nn.Module] = [ResBlock(channels, config.model_channels * mult, self.time_width)]
                channels = config.model_channels * mult
                if depth := next(depths):
                    parts.append(self._transformer(channels, depth))
                self.input_blocks.append(Stage(*parts))
                skips.append(channels)
            if level + 1 < len(config.channel_mult):
                self.input_blocks.append(Stage(Downsample(channels)))
                skips.append(channels)
        return skips

    def _build_output(self, skips: list[int]) -> None:
        """Fill `output_blocks`; `skips` are the channels that the input half hands over."""
        config = self.config
        channels = config.model_channels * config.channel_mult[-1]
        depths = iter(reversed(config.transformer_depth_output))
        waiting = list(skips)
        for level, mult in reversed(list(enumerate(config.channel_mult))):
            for index in range(config.num_res_blocks[level] + 1):
                parts: list[nn.Module] = [
                    ResBlock(channels + waiting.pop(), config.model_channels * mult, self.time_width)
                ]
                channels = config.model_channels * mult
                if depth := next(depths):
                    parts.append(self._transformer(channels, depth))
                if level and index == config.num_res_blocks[level]:
                    parts.append(Upsample(channels))
                self.output_blocks.append(Stage(*parts))


def _two_layers(width: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, out), nn.SiLU(), nn.Linear(out, out))


def unet_config_from(shapes: Mapping[str, tuple[int, ...]]) -> UNetConfig:
    """Configuration of the UNet whose tensors have these shapes; keys are without `model.diffusion_model.`.

    Raises KeyError when a tensor that every UNet has is missing.
    """
    base = shapes["input_blocks.0.0.weight"][0]
    mults, res_blocks, depths = _input_levels(shapes, base)
    outputs = _count(shapes, "output_blocks.{}.0.in_layers.0.weight")
    output_depths = tuple(_depth(shapes, f"output_blocks.{index}.1.") for index in reversed(range(outputs)))
    projection = shapes["middle_block.1.proj_in.weight"]
    linear = len(projection) == 2
    label = shapes.get("label_emb.0.0.weight")
    return UNetConfig(
        in_channels=shapes["input_blocks.0.0.weight"][1],
        out_channels=shapes["out.2.weight"][0],
        model_channels=base,
        num_res_blocks=res_blocks,
        channel_mult=mults,
        transformer_depth=depths,
        transformer_depth_output=output_depths,
        transformer_depth_middle=_depth(shapes, "middle_block.1."),
        context_dim=shapes["middle_block.1.transformer_blocks.0.attn2.to_k.weight"][1],
        num_heads=-1 if linear else CONVOLUTION_HEADS,
        num_head_channels=LINEAR_HEAD_CHANNELS if linear else -1,
        use_linear_in_transformer=linear,
        adm_in_channels=label[1] if label else None,
    )


def _input_levels(
    shapes: Mapping[str, tuple[int, ...]], base: int
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Channel multipliers and residual blocks of every level, and the depth at every residual block."""
    mults: list[int] = []
    counts: list[int] = [0]
    depths: list[int] = []
    index = 1
    while True:
        stage = f"input_blocks.{index}."
        if f"{stage}0.op.weight" in shapes:
            counts.append(0)
        elif f"{stage}0.out_layers.3.weight" in shapes:
            if counts[-1] == 0:
                mults.append(shapes[f"{stage}0.out_layers.3.weight"][0] // base)
            counts[-1] += 1
            depths.append(_depth(shapes, f"{stage}1."))
        else:
            return tuple(mults), tuple(counts), tuple(depths)
        index += 1


def _depth(shapes: Mapping[str, tuple[int, ...]], transformer: str) -> int:
    return _count(shapes, transformer + "transformer_blocks.{}.norm1.weight")


def _count(shapes: Mapping[str, tuple[int, ...]], pattern: str) -> int:
    """How many of the keys pattern.format(0), pattern.format(1) ... follow each other."""
    count = 0
    while pattern.format(count) in shapes:
        count += 1
    return count
