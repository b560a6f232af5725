"""Autoencoders as packs know them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..missing_names import missing_attribute, not_provided
from .library import ImageCodec, Part, default_memory


class VAE:
    """Images [batch, height, width, 3] in 0..1 to latents [batch, channel, height, width] and back."""

    def __init__(
        self, sd: Any = None, device: torch.device | None = None, config: Any = None, dtype: torch.dtype | None = None,
        metadata: Any = None, *, handle: ImageCodec | None = None,
    ) -> None:  # fmt: skip
        if handle is None:
            raise not_provided("comfy.sd.VAE(state dict)")
        self.handle = handle
        memory = default_memory()
        self.device = device or memory.device
        self.output_device = self.offload_device = torch.device("cpu")
        self.vae_dtype = dtype or memory.dtype(Part.CODEC)
        self.working_dtypes = [self.vae_dtype]
        self.latent_channels, self.latent_dim, self.output_channels = handle.channels, 2, 3
        self.downscale_ratio = self.upscale_ratio = handle.downscale
        self.process_input: Callable[[Tensor], Tensor] = lambda image: image * 2.0 - 1.0
        self.process_output: Callable[[Tensor], Tensor] = lambda image: ((image + 1.0) / 2.0).clamp(0.0, 1.0)
        self.memory_used_encode = self.memory_used_decode = lambda shape, dtype: 0.0
        self.crop_input, self.size, self.extra_1d_channel = True, None, None

    @property
    def first_stage_model(self) -> Any:
        """The network, on its device."""
        return default_memory().module(self.handle.weights, Part.CODEC)

    @property
    def patcher(self) -> Any:
        """What packs hand to ``load_models_gpu``."""
        return self

    def load_to_device(self) -> None:
        """Have the network loaded."""
        _ = self.first_stage_model

    def throw_exception_if_invalid(self) -> None:
        """Nothing is wrong: a file without an autoencoder gives none."""

    def decode(self, samples_in: Tensor, vae_options: Any = None) -> Tensor:
        """Images of latents."""
        return self.handle.decode(samples_in)

    def encode(self, pixel_samples: Tensor) -> Tensor:
        """Latents of images; sides are cut to whole latent units."""
        return self.handle.encode(pixel_samples)

    def decode_tiled(
        self, samples: Tensor, tile_x: int = 64, tile_y: int = 64, overlap: int = 16, tile_t: int | None = None,
        overlap_t: int | None = None,
    ) -> Tensor:  # fmt: skip
        """Images of large latents; tiles and their overlap in latent units."""
        return self.handle.decode_tiled(samples, tile=(tile_y, tile_x), overlap=overlap)

    def encode_tiled(
        self, pixel_samples: Tensor, tile_x: int = 512, tile_y: int = 512, overlap: int = 64,
        tile_t: int | None = None, overlap_t: int | None = None,
    ) -> Tensor:  # fmt: skip
        """Latents of large images; tiles and their overlap in pixels."""
        return self.handle.encode_tiled(pixel_samples, tile=(tile_y, tile_x), overlap=overlap)

    def spacial_compression_encode(self) -> int:
        """Pixels that a latent unit is wide."""
        return self.handle.downscale

    spacial_compression_decode = spacial_compression_encode

    def temporal_compression_decode(self) -> int | None:
        """Frames that a latent frame stands for; ``None`` for pictures."""
        return None

    def vae_encode_crop_pixels(self, pixels: Tensor) -> Tensor:
        """Images cut evenly to whole latent units."""
        ratio = self.handle.downscale
        height, width = (side // ratio * ratio for side in pixels.shape[1:3])
        top, left = (pixels.shape[1] - height) // 2, (pixels.shape[2] - width) // 2
        return pixels[:, top : top + height, left : left + width]

    def get_sd(self) -> dict[str, Tensor]:
        """The network's weights."""
        weights: dict[str, Tensor] = self.first_stage_model.state_dict()
        return weights

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise missing_attribute("comfy.sd.VAE", name)


def vae_of(handle: object) -> VAE:
    """An autoencoder as packs know it."""
    assert isinstance(handle, ImageCodec)
    return VAE(handle=handle)
