"""The tiny autoencoder TAESD (Bohan 2023): a fast stand-in for the autoencoders of SD1, SDXL, SD3 and Flux.

Its published files hold the encoder and the decoder apart, each a numbered sequence. It works in the scale of the
diffusion model; `LatentFormat` of the model that it is for takes latents to the autoencoder's scale and back.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from comfykernel_sdk.families import LatentFormat

WIDTH = 64


class Clamp(nn.Module):
    """Keeps latents softly within -3..3."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 3) * 3


class Block(nn.Module):
    """Three convolutions and a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Sequential(_conv(), nn.ReLU(), _conv(), nn.ReLU(), _conv())

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x) + x)


def _conv(channels: int = WIDTH, out: int = WIDTH, *, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 3, padding=1, stride=stride, bias=bias)


def tiny_encoder(channels: int) -> nn.Sequential:
    """Images [batch, 3, height, width] in 0..1 to latents of so many channels, an eighth as large."""
    parts: list[nn.Module] = [_conv(3), Block()]
    for _ in range(3):
        parts += [_conv(stride=2, bias=False), Block(), Block(), Block()]
    return nn.Sequential(*parts, _conv(out=channels))


def tiny_decoder(channels: int) -> nn.Sequential:
    """Latents to images in 0..1, not clamped."""
    parts: list[nn.Module] = [Clamp(), _conv(channels), nn.ReLU()]
    for _ in range(3):
        parts += [Block(), Block(), Block(), nn.Upsample(scale_factor=2), _conv(bias=False)]
    return nn.Sequential(*parts, Block(), _conv(out=3))


class TinyAutoencoder(nn.Module):
    """Encoder and decoder together; either may be left out."""

    def __init__(
        self, channels: int, latent_format: LatentFormat, *, encoder: bool = True, decoder: bool = True
    ) -> None:
        super().__init__()
        self.latent_format = latent_format
        self.halves = frozenset(["encode"] * encoder + ["decode"] * decoder)
        if encoder:
            self.taesd_encoder = tiny_encoder(channels)
        if decoder:
            self.taesd_decoder = tiny_decoder(channels)

    def encode(self, image: Tensor) -> Tensor:
        """Latents, in the autoencoder's scale, of images [batch, 3, height, width] in -1..1."""
        return self.latent_format.from_model(self.taesd_encoder(image * 0.5 + 0.5))

    def decode(self, latent: Tensor) -> Tensor:
        """Images in -1..1 of latents in the autoencoder's scale."""
        out: Tensor = self.taesd_decoder(self.latent_format.to_model(latent)) * 2.0 - 1.0
        return out


def tiny_channels(shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    """Latent channels of a tiny encoder or decoder alone in its file; None when it is none."""
    if shapes.get("0.weight") == (WIDTH, 3, 3, 3) and "1.conv.0.weight" in shapes:
        last = max(int(name.split(".")[0]) for name in shapes)
        return shapes[f"{last}.weight"][0]
    if "3.conv.0.weight" in shapes and shapes.get("1.weight", ())[:1] == (WIDTH,):
        return shapes["1.weight"][1]
    return None
