"""Latents of model families: channels, scale, colours."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from comfykernel_compat_comfyui.diffusion_bridge.library import PUBLISHED_FORMATS


class LatentFormat:
    """How the latents of an autoencoder are scaled for a model."""

    scale_factor: ClassVar[float] = 1.0
    latent_channels: ClassVar[int] = 4
    latent_dimensions: ClassVar[int] = 2
    latent_rgb_factors: ClassVar[list[list[float]] | None] = None
    latent_rgb_factors_bias: ClassVar[list[float] | None] = None
    latent_rgb_factors_reshape: ClassVar[Any] = None
    taesd_decoder_name: ClassVar[str | None] = None
    spacial_downscale_ratio: ClassVar[int] = 8
    ours: ClassVar[Any] = None
    """The format as the diffusion library has it."""

    def process_in(self, latent: Tensor) -> Tensor:
        """From the autoencoder's scale to the model's."""
        return latent * self.scale_factor if self.ours is None else self.ours.to_model(latent)

    def process_out(self, latent: Tensor) -> Tensor:
        """From the model's scale to the autoencoder's."""
        return latent / self.scale_factor if self.ours is None else self.ours.from_model(latent)


def class_of(ours: Any, name: str = "LatentFormat") -> type[LatentFormat]:
    """A class that stands for a format of the diffusion library."""
    members: dict[str, Any] = {
        "ours": ours, "scale_factor": ours.scale, "latent_channels": ours.channels,
        "latent_dimensions": ours.dimensions, "spacial_downscale_ratio": ours.downscale,
        "latent_rgb_factors": [list(row) for row in ours.rgb_factors] if ours.rgb_factors else None,
        "latent_rgb_factors_bias": list(ours.rgb_bias) if ours.rgb_bias else None,
        "taesd_decoder_name": ours.preview_codec or None,
    }  # fmt: skip
    return type(name, (LatentFormat,), members)


for _name, _format in PUBLISHED_FORMATS.items():
    if _name != "LatentFormat":
        globals()[_name] = class_of(_format, _name)
