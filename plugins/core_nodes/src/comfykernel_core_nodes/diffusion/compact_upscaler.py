"""The compact upscaler of Real-ESRGAN (Wang et al. 2021): plain convolutions, then pixels out of channels.

Names equal the keys of its files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch.nn.functional as functional
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class CompactConfig:
    """Shape of a network."""

    channels: int = 3
    width: int = 64
    convolutions: int = 16
    scale: int = 4


class CompactUpscaler(nn.Module):
    """Pictures [batch, channels, height, width] in 0..1 to larger ones."""

    def __init__(self, config: CompactConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = [nn.Conv2d(config.channels, config.width, 3, padding=1), nn.PReLU(config.width)]
        for _ in range(config.convolutions):
            layers += [nn.Conv2d(config.width, config.width, 3, padding=1), nn.PReLU(config.width)]
        layers.append(nn.Conv2d(config.width, config.channels * config.scale**2, 3, padding=1))
        self.body = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        hidden = x
        for layer in self.body:
            hidden = layer(hidden)
        enlarged = functional.interpolate(x, scale_factor=float(self.config.scale), mode="nearest")
        return functional.pixel_shuffle(hidden, self.config.scale) + enlarged


def compact_config_from(shapes: Mapping[str, tuple[int, ...]]) -> CompactConfig:
    """Configuration of the network whose tensors have these shapes.

    Raises KeyError when a tensor that every such network has is missing.
    """
    last = max(int(name.split(".")[1]) for name in shapes if name.startswith("body."))
    width, channels = shapes["body.0.weight"][:2]
    return CompactConfig(
        channels=channels,
        width=width,
        convolutions=last // 2 - 1,
        scale=round((shapes[f"body.{last}.weight"][0] / channels) ** 0.5),
    )
