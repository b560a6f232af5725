"""Images to latents and back, through an autoencoder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.autoencoder import AutoencoderKL
from comfykernel_core_nodes.diffusion.errors import LatentShapeError
from comfykernel_core_nodes.diffusion.memory import ModelMemory, Part, default_memory
from comfykernel_core_nodes.diffusion.weights import Weights

# Pixels that pass the autoencoder at once: about 2 GiB of activations in float32 for 128 channels.
PIXELS_AT_ONCE: Final = 1024 * 1024


@dataclass(frozen=True, eq=False)
class ImageCodec:
    """An immutable handle of an autoencoder; `downscale` is the number of pixels a latent unit is wide."""

    weights: Weights[AutoencoderKL]
    downscale: int = 8

    def encode(self, images: Tensor, memory: ModelMemory | None = None) -> Tensor:
        """Latents [batch, channel, height / downscale, width / downscale] of images, float32 on the CPU.

        images: [batch, height, width, channels of 3 or more], 0..1; sides are cropped, evenly, to multiples of
        `downscale`, channels after the third are left out. Raises `LatentShapeError`.
        """
        if images.ndim != 4 or images.shape[-1] < 3:
            raise LatentShapeError(f"Expected images [batch, height, width, 3], got {list(images.shape)}.")
        images = cropped_to_multiple(images, self.downscale)[..., :3]
        module, dtype = self._module(memory)
        device = next(module.parameters()).device
        with torch.inference_mode():
            parts = [
                module.encode((part.movedim(-1, 1) * 2.0 - 1.0).to(device, dtype)).float().cpu()
                for part in _portions(images, images.shape[1] * images.shape[2])
            ]
        return torch.cat(parts)

    def decode(self, latent: Tensor, memory: ModelMemory | None = None) -> Tensor:
        """Images [batch, height * downscale, width * downscale, 3], 0..1, float32 on the CPU, of latents."""
        raw = self.decode_raw(latent, memory)
        return ((raw + 1.0) / 2.0).clamp(0.0, 1.0).movedim(1, -1)

    def decode_raw(self, latent: Tensor, memory: ModelMemory | None = None) -> Tensor:
        """What the autoencoder gives: [batch, 3, height, width], about -1..1. Raises `LatentShapeError`."""
        module, dtype = self._module(memory)
        if latent.ndim != 4 or latent.shape[1] != module.config.z_channels:
            wanted = f"[batch, {module.config.z_channels}, height, width]"
            raise LatentShapeError(f"Expected latents {wanted}, got {list(latent.shape)}.")
        device = next(module.parameters()).device
        pixels = latent.shape[2] * latent.shape[3] * self.downscale**2
        with torch.inference_mode():
            parts = [module.decode(part.to(device, dtype)).float().cpu() for part in _portions(latent, pixels)]
        return torch.cat(parts)

    def _module(self, memory: ModelMemory | None) -> tuple[AutoencoderKL, torch.dtype]:
        module = (memory or default_memory()).module(self.weights, Part.CODEC)
        return module, next(module.parameters()).dtype


def cropped_to_multiple(images: Tensor, multiple: int) -> Tensor:
    """Cut images [batch, height, width, ...] evenly to multiples; raises `LatentShapeError` when nothing is left."""
    height, width = (side // multiple * multiple for side in images.shape[1:3])
    if not height or not width:
        raise LatentShapeError(f"Images of {images.shape[2]}x{images.shape[1]} pixels are too small to encode.")
    top, left = (images.shape[1] - height) // 2, (images.shape[2] - width) // 2
    return images[:, top : top + height, left : left + width]


def _portions(batch: Tensor, pixels: int) -> Iterator[Tensor]:
    yield from torch.split(batch, max(1, PIXELS_AT_ONCE // max(1, pixels)))
