"""The KL autoencoder of latent diffusion (Rombach et al. 2022, section 3.1), in the original checkpoints' layout.

Module names equal the keys below `first_stage_model.`. Images are [batch, 3, height, width] in -1..1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch.nn.functional as functional
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.attention import attend_pixels


@dataclass(frozen=True, slots=True)
class AutoencoderConfig:
    """Shape of an autoencoder. Every level but the last halves height and width."""

    in_channels: int = 3
    out_channels: int = 3
    z_channels: int = 4
    channels: int = 128
    channel_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    quant_conv: bool = True

    @property
    def downscale(self) -> int:
        """Pixels of the image per pixel of the latent, along one side."""
        return int(2 ** (len(self.channel_mult) - 1))


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels, eps=1e-6)


class ResnetBlock(nn.Module):
    """Two convolutions and a residual."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1 = _norm(channels)
        self.conv1 = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.norm2 = _norm(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        if channels != out_channels:
            self.nin_shortcut = nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv1(functional.silu(self.norm1(x)))
        hidden = self.conv2(functional.silu(self.norm2(hidden)))
        if hasattr(self, "nin_shortcut"):
            x = self.nin_shortcut(x)
        out: Tensor = x + hidden
        return out


class AttnBlock(nn.Module):
    """Single-head attention among all pixels, with a residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        out: Tensor = x + self.proj_out(attend_pixels(self.q(normed), self.k(normed), self.v(normed)))
        return out


class Downsample(nn.Module):
    """Halves height and width; pads right and below only, as the original does."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(functional.pad(x, (0, 1, 0, 1)))
        return out


class Upsample(nn.Module):
    """Doubles height and width by nearest neighbour, then convolves."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out


class Level(nn.Module):
    """The residual blocks of one resolution and the change to the next, if there is one."""

    def __init__(self, channels: int, out_channels: int, blocks: int) -> None:
        super().__init__()
        widths = [channels] + [out_channels] * blocks
        self.block = nn.ModuleList(ResnetBlock(a, b) for a, b in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.block:
            x = block(x)
        for name in ("downsample", "upsample"):
            if hasattr(self, name):
                x = getattr(self, name)(x)
        return x


class Middle(nn.Module):
    """Residual block, attention, residual block at the lowest resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = ResnetBlock(channels, channels)
        self.attn_1 = AttnBlock(channels)
        self.block_2 = ResnetBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block_2(self.attn_1(self.block_1(x)))
        return out


class Encoder(nn.Module):
    """Image to mean and log variance, side by side."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(config.in_channels, config.channels, 3, padding=1)
        self.down = nn.ModuleList()
        width = config.channels
        for index, mult in enumerate(config.channel_mult):
            level = Level(width, config.channels * mult, config.num_res_blocks)
            width = config.channels * mult
            if index + 1 < len(config.channel_mult):
                level.downsample = Downsample(width)
            self.down.append(level)
        self.mid = Middle(width)
        self.norm_out = _norm(width)
        self.conv_out = nn.Conv2d(width, 2 * config.z_channels, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.conv_in(image)
        for level in self.down:
            x = level(x)
        out: Tensor = self.conv_out(functional.silu(self.norm_out(self.mid(x))))
        return out


class Decoder(nn.Module):
    """Latent to image. `up` counts from the highest resolution and runs backwards, as the original does."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        width = config.channels * config.channel_mult[-1]
        self.conv_in = nn.Conv2d(config.z_channels, width, 3, padding=1)
        self.mid = Middle(width)
        levels: list[Level] = []
        for index, mult in reversed(list(enumerate(config.channel_mult))):
            level = Level(width, config.channels * mult, config.num_res_blocks + 1)
            width = config.channels * mult
            if index:
                level.upsample = Upsample(width)
            levels.append(level)
        self.up = nn.ModuleList(reversed(levels))
        self.norm_out = _norm(width)
        self.conv_out = nn.Conv2d(width, config.out_channels, 3, padding=1)

    def forward(self, latent: Tensor) -> Tensor:
        x = self.mid(self.conv_in(latent))
        for level in reversed(self.up):
            x = level(x)
        out: Tensor = self.conv_out(functional.silu(self.norm_out(x)))
        return out


class AutoencoderKL(nn.Module):
    """Images to latents and back. Latents are as the network gives them, before any scale factor of a model family."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        z = config.z_channels
        if config.quant_conv:
            self.quant_conv = nn.Conv2d(2 * z, 2 * z, 1)
            self.post_quant_conv = nn.Conv2d(z, z, 1)

    def moments(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the latent, both [batch, z_channels, height / downscale, width / downscale]."""
        both = self.encoder(image)
        if self.config.quant_conv:
            both = self.quant_conv(both)
        mean, logvar = both.chunk(2, dim=1)
        return mean, logvar

    def encode(self, image: Tensor) -> Tensor:
        """Mean of the latent of images [batch, 3, height, width] in -1..1; sides are multiples of `downscale`."""
        return self.moments(image)[0]

    def decode(self, latent: Tensor) -> Tensor:
        """Images [batch, 3, height * downscale, width * downscale], about -1..1 and not clamped."""
        if self.config.quant_conv:
            latent = self.post_quant_conv(latent)
        out: Tensor = self.decoder(latent)
        return out


def autoencoder_config_from(shapes: Mapping[str, tuple[int, ...]]) -> AutoencoderConfig:
    """Configuration of the autoencoder whose tensors have these shapes; keys are without `first_stage_model.`.

    Raises KeyError when a tensor that every autoencoder has is missing.
    """
    channels = shapes["encoder.conv_in.weight"][0]
    mults: list[int] = []
    while (key := f"encoder.down.{len(mults)}.block.0.conv1.weight") in shapes:
        mults.append(shapes[key][0] // channels)
    blocks = 0
    while f"encoder.down.0.block.{blocks}.conv1.weight" in shapes:
        blocks += 1
    return AutoencoderConfig(
        in_channels=shapes["encoder.conv_in.weight"][1],
        out_channels=shapes["decoder.conv_out.weight"][0],
        z_channels=shapes["decoder.conv_in.weight"][1],
        channels=channels,
        channel_mult=tuple(mults),
        num_res_blocks=blocks,
        quant_conv="quant_conv.weight" in shapes,
    )
