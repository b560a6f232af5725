"""T2I adapters (Mou et al. 2023, arXiv:2302.08453): a small network from a hint to features of a UNet's input half."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# Pixels that each side of the first feature map's cell covers: the hint's pixels become channels.
UNSHUFFLE = 8
UNSHUFFLE_XL = 16
# Where an adapter's feature maps enter among the UNet's input blocks; for SDXL the fourth enters the middle.
ENTRIES = (2, 5, 8, 11)
ENTRIES_XL = (3, 5, 8)


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """Shape of an adapter: channels of its maps, blocks a map, size of its kernels.

    `xl`: for SDXL, where only the third map halves its size. `light`: the small form with fewer channels inside.
    """

    hint_channels: int = 3
    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    blocks: int = 2
    kernel: int = 3
    convolving: bool = False
    xl: bool = False
    light: bool = False


class ResidualBlock(nn.Module):
    """Two convolutions and a residual; the first block of a level also changes channels and size."""

    def __init__(self, channels: int, out: int, kernel: int, *, down: bool, convolving: bool) -> None:
        super().__init__()
        if channels != out:
            self.in_conv = nn.Conv2d(channels, out, kernel, padding=kernel // 2)
        self.block1 = nn.Conv2d(out, out, 3, padding=1)
        self.block2 = nn.Conv2d(out, out, kernel, padding=kernel // 2)
        self.down = down
        if down and convolving:
            self.down_opt = nn.ModuleDict({"op": nn.Conv2d(channels, channels, 3, stride=2, padding=1)})

    def forward(self, x: Tensor) -> Tensor:
        if self.down:
            x = self.down_opt["op"](x) if hasattr(self, "down_opt") else halved(x)
        if hasattr(self, "in_conv"):
            x = self.in_conv(x)
        out: Tensor = self.block2(torch.relu(self.block1(x))) + x
        return out


def halved(x: Tensor) -> Tensor:
    """Means of 2 x 2 cells; odd sides are framed by zeros first."""
    return nn.functional.avg_pool2d(x, 2, padding=(x.shape[2] % 2, x.shape[3] % 2))


class LightBlock(nn.Module):
    """A level of a light adapter: fewer channels inside."""

    def __init__(self, channels: int, out: int, blocks: int, *, down: bool) -> None:
        super().__init__()
        inner = out // 4
        self.down = down
        self.in_conv = nn.Conv2d(channels, inner, 1)
        self.body = nn.Sequential(*(LightResidual(inner) for _ in range(blocks)))
        self.out_conv = nn.Conv2d(inner, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        if self.down:
            x = halved(x)
        out: Tensor = self.out_conv(self.body(self.in_conv(x)))
        return out


class LightResidual(nn.Module):
    """Two convolutions and a residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.block2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block2(torch.relu(self.block1(x))) + x
        return out


class T2IAdapter(nn.Module):
    """Feature maps from a hint."""

    def __init__(self, config: AdapterConfig) -> None:
        super().__init__()
        self.config = config
        self.unshuffle = nn.PixelUnshuffle(UNSHUFFLE_XL if config.xl else UNSHUFFLE)
        seen = config.hint_channels * self.unshuffle.downscale_factor**2
        self.body = nn.ModuleList()
        if config.light:
            for level, width in enumerate(config.channels):
                before = seen if level == 0 else config.channels[level - 1]
                self.body.append(LightBlock(before, width, config.blocks, down=level > 0))
            return
        self.conv_in = nn.Conv2d(seen, config.channels[0], 3, padding=1)
        for level, width in enumerate(config.channels):
            for block in range(config.blocks):
                first = block == 0
                before = config.channels[max(0, level - 1)] if first else width
                down = first and level > 0 and not (config.xl and level in (1, 3))
                self.body.append(ResidualBlock(before, width, config.kernel, down=down, convolving=config.convolving))

    def forward(self, hint: Tensor) -> list[Tensor]:
        """One map a level, the highest resolution first; hint: [batch, hint_channels, height * 8, width * 8]."""
        x = self.unshuffle(hint)
        if self.config.light:
            maps: list[Tensor] = []
            for block in self.body:
                x = block(x)
                maps.append(x)
            return maps
        x = self.conv_in(x)
        maps = []
        for number, block in enumerate(self.body):
            x = block(x)
            if number % self.config.blocks == self.config.blocks - 1:
                maps.append(x)
        return maps

    def residuals(self, maps: list[Tensor]) -> dict[str, list[Tensor | None]]:
        """The maps where a UNet takes them: under `input`, the last block first, and for SDXL under `middle`."""
        entries = ENTRIES_XL if self.config.xl else ENTRIES
        places: list[Tensor | None] = [None] * (entries[-1] + 1)
        for entry, each in zip(entries, maps, strict=False):
            places[entry] = each
        middle: list[Tensor | None] = list(maps[len(entries) :])
        return {"input": places[::-1]} | ({"middle": middle} if middle else {})


def adapter_config_from(shapes: Mapping[str, tuple[int, ...]]) -> AdapterConfig:
    """Configuration of the adapter whose tensors have these shapes.

    Raises KeyError when a tensor that every adapter has is missing.
    """
    if "body.0.in_conv.weight" in shapes and "body.0.body.0.block1.weight" in shapes:
        return _light_config(shapes)
    seen = shapes["conv_in.weight"][1]
    blocks = 0
    while f"body.{blocks}.block1.weight" in shapes:
        blocks += 1
    each = blocks // 4
    xl = seen in (256, 768)
    return AdapterConfig(
        hint_channels=seen // (UNSHUFFLE_XL if xl else UNSHUFFLE) ** 2,
        channels=tuple(shapes[f"body.{level * each}.block1.weight"][0] for level in range(4)),
        blocks=each,
        kernel=shapes["body.0.block2.weight"][2],
        convolving=any("down_opt" in name for name in shapes),
        xl=xl,
    )


def _light_config(shapes: Mapping[str, tuple[int, ...]]) -> AdapterConfig:
    levels = 0
    while f"body.{levels}.out_conv.weight" in shapes:
        levels += 1
    blocks = 0
    while f"body.0.body.{blocks}.block1.weight" in shapes:
        blocks += 1
    return AdapterConfig(
        hint_channels=shapes["body.0.in_conv.weight"][1] // UNSHUFFLE**2,
        channels=tuple(shapes[f"body.{level}.out_conv.weight"][0] for level in range(levels)),
        blocks=blocks,
        light=True,
    )
