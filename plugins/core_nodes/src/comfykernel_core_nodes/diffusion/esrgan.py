"""ESRGAN (Wang et al. 2018, arXiv:1809.00219) and Real-ESRGAN (Wang et al. 2021): residual-in-residual dense blocks.

Names equal the keys of Real-ESRGAN's files; `original_names` takes those of the first ESRGAN files to them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

# Weight of a block's result in its residual.
RESIDUAL_SCALE = 0.2
SLOPE = 0.2
# Convolutions of a dense block.
DENSE_CONVOLUTIONS = 5

_DENSE = re.compile(r"model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.(weight|bias)")
_BODY_END = re.compile(r"model\.1\.sub\.(\d+)\.(weight|bias)")
_NUMBERED = re.compile(r"model\.(\d+)\.(weight|bias)")


@dataclass(frozen=True, slots=True)
class EsrganConfig:
    """Shape of a network. `unshuffle`: pixels of a side that become channels first (Real-ESRGAN at scales 1 and 2)."""

    channels: int = 3
    width: int = 64
    growth: int = 32
    blocks: int = 23
    doublings: int = 2
    unshuffle: int = 1

    @property
    def scale(self) -> int:
        """Pixels of the result per pixel, along one side."""
        return int(2**self.doublings) // self.unshuffle


def _active(x: Tensor) -> Tensor:
    return functional.leaky_relu(x, SLOPE)


class DenseBlock(nn.Module):
    """Five convolutions, each of which sees the results of all before it."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        for number in range(1, DENSE_CONVOLUTIONS + 1):
            out = width if number == DENSE_CONVOLUTIONS else growth
            setattr(self, f"conv{number}", nn.Conv2d(width + (number - 1) * growth, out, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        seen = [x]
        for number in range(1, DENSE_CONVOLUTIONS):
            seen.append(_active(getattr(self, f"conv{number}")(torch.cat(seen, dim=1))))
        last = getattr(self, f"conv{DENSE_CONVOLUTIONS}")
        out: Tensor = x + RESIDUAL_SCALE * last(torch.cat(seen, dim=1))
        return out


class ResidualBlock(nn.Module):
    """Three dense blocks and a residual."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = DenseBlock(width, growth)
        self.rdb2 = DenseBlock(width, growth)
        self.rdb3 = DenseBlock(width, growth)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + RESIDUAL_SCALE * self.rdb3(self.rdb2(self.rdb1(x)))
        return out


class Esrgan(nn.Module):
    """Pictures [batch, channels, height, width] in 0..1 to larger ones."""

    def __init__(self, config: EsrganConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.conv_first = nn.Conv2d(config.channels * config.unshuffle**2, width, 3, padding=1)
        self.body = nn.Sequential(*(ResidualBlock(width, config.growth) for _ in range(config.blocks)))
        self.conv_body = nn.Conv2d(width, width, 3, padding=1)
        for number in range(1, config.doublings + 1):
            setattr(self, f"conv_up{number}", nn.Conv2d(width, width, 3, padding=1))
        self.conv_hr = nn.Conv2d(width, width, 3, padding=1)
        self.conv_last = nn.Conv2d(width, config.channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        if self.config.unshuffle > 1:
            height, width = x.shape[-2:]
            below, right = -height % self.config.unshuffle, -width % self.config.unshuffle
            x = functional.pixel_unshuffle(
                functional.pad(x, (0, right, 0, below), mode="reflect"), self.config.unshuffle
            )
            return self._enlarged(x)[..., : height * self.config.scale, : width * self.config.scale]
        return self._enlarged(x)

    def _enlarged(self, x: Tensor) -> Tensor:
        x = self.conv_first(x)
        x = x + self.conv_body(self.body(x))
        for number in range(1, self.config.doublings + 1):
            doubled = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = _active(getattr(self, f"conv_up{number}")(doubled))
        out: Tensor = self.conv_last(_active(self.conv_hr(x)))
        return out


def original_names(names: Mapping[str, str]) -> dict[str, str]:
    """Tensors of a first ESRGAN file by the names here: name here -> name there; others stay as they are."""
    numbers = sorted({int(match[1]) for name in names if (match := _NUMBERED.fullmatch(name))})
    # The numbered convolutions, from the last: the way out, the one before it, then those after each doubling.
    doubling = [number for number in numbers if 0 < number < numbers[-2]] if len(numbers) > 2 else []
    places = {number: f"conv_up{place}" for place, number in enumerate(doubling, start=1)}
    if numbers:
        places |= {numbers[0]: "conv_first", numbers[-2]: "conv_hr", numbers[-1]: "conv_last"}
    renamed: dict[str, str] = {}
    for name in names:
        if match := _DENSE.fullmatch(name):
            renamed[f"body.{match[1]}.rdb{match[2]}.conv{match[3]}.{match[4]}"] = name
        elif match := _BODY_END.fullmatch(name):
            renamed[f"conv_body.{match[2]}"] = name
        elif match := _NUMBERED.fullmatch(name):
            renamed[f"{places[int(match[1])]}.{match[2]}"] = name
        else:
            renamed[name] = name
    return renamed


def esrgan_config_from(shapes: Mapping[str, tuple[int, ...]]) -> EsrganConfig:
    """Configuration of the network whose tensors have these shapes.

    Raises KeyError when a tensor that every such network has is missing.
    """
    width, seen = shapes["conv_first.weight"][:2]
    channels = shapes["conv_last.weight"][0]
    blocks = 0
    while f"body.{blocks}.rdb1.conv1.weight" in shapes:
        blocks += 1
    doublings = 0
    while f"conv_up{doublings + 1}.weight" in shapes:
        doublings += 1
    return EsrganConfig(
        channels=channels,
        width=width,
        growth=shapes["body.0.rdb1.conv1.weight"][0],
        blocks=blocks,
        doublings=doublings,
        unshuffle=max(1, round((seen / channels) ** 0.5)),
    )
