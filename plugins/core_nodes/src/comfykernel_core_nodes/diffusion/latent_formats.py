"""Latent formats: how the latents of an autoencoder are scaled for a model, and which colours they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from torch import Tensor

from comfykernel_sdk.families import LatentFormat

__all__ = ["FLUX", "SD1", "SD3", "SDXL", "SDXL_PLAYGROUND", "LatentFormat", "PerChannelFormat"]


@dataclass(frozen=True)
class PerChannelFormat(LatentFormat):
    """Latents that are normalised channel by channel: (latent - mean) / deviation * scale."""

    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()

    def to_model(self, latent: Tensor) -> Tensor:
        """From the autoencoder's scale to the diffusion model's."""
        mean, deviation = self._rows(latent)
        return (latent - mean) * self.scale / deviation

    def from_model(self, latent: Tensor) -> Tensor:
        """From the diffusion model's scale to the autoencoder's."""
        mean, deviation = self._rows(latent)
        return latent * deviation / self.scale + mean

    def _rows(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        shape = (1, -1, *[1] * (latent.ndim - 2))
        return latent.new_tensor(self.means).view(shape), latent.new_tensor(self.deviations).view(shape)


# The scale makes the latents' standard deviation about 1 (Rombach et al. 2022, appendix G).
SD1: Final = LatentFormat(
    channels=4,
    scale=0.18215,
    preview_codec="taesd_decoder",
    rgb_factors=(
        (0.3512, 0.2297, 0.3227),
        (0.3250, 0.4974, 0.2350),
        (-0.2829, 0.1762, 0.2721),
        (-0.2120, -0.2616, -0.7177),
    ),
)

_SDXL_COLOURS: Final = (
    (0.3651, 0.4232, 0.4341),
    (-0.2533, -0.0042, 0.1068),
    (0.1076, 0.1111, -0.0362),
    (-0.3165, -0.2492, -0.2188),
)
_SDXL_BIAS: Final = (0.1084, -0.0175, -0.0011)

SDXL: Final = LatentFormat(
    channels=4, scale=0.13025, preview_codec="taesdxl_decoder", rgb_factors=_SDXL_COLOURS, rgb_bias=_SDXL_BIAS
)

# Li et al. 2024, "Playground v2.5" (arXiv:2402.17245); constants of the published model.
SDXL_PLAYGROUND: Final = PerChannelFormat(
    channels=4,
    scale=0.5,
    preview_codec="taesdxl_decoder",
    rgb_factors=(
        (0.3920, 0.4054, 0.4549),
        (-0.2634, -0.0196, 0.0653),
        (0.0568, 0.1687, -0.0755),
        (-0.3112, -0.2359, -0.2076),
    ),
    means=(-1.6574, 1.886, -1.383, 2.5155),
    deviations=(8.4927, 5.9022, 6.5498, 5.2299),
)

SD3: Final = LatentFormat(
    channels=16,
    scale=1.5305,
    shift=0.0609,
    preview_codec="taesd3_decoder",
    rgb_factors=(
        (-0.0922, -0.0175, 0.0749),
        (0.0311, 0.0633, 0.0954),
        (0.1994, 0.0927, 0.0458),
        (0.0856, 0.0339, 0.0902),
        (0.0587, 0.0272, -0.0496),
        (-0.0006, 0.1104, 0.0309),
        (0.0978, 0.0306, 0.0427),
        (-0.0042, 0.1038, 0.1358),
        (-0.0194, 0.0020, 0.0669),
        (-0.0488, 0.0130, -0.0268),
        (0.0922, 0.0988, 0.0951),
        (-0.0278, 0.0524, -0.0542),
        (0.0332, 0.0456, 0.0895),
        (-0.0069, -0.0030, -0.0810),
        (-0.0596, -0.0465, -0.0293),
        (-0.1448, -0.1463, -0.1189),
    ),
    rgb_bias=(0.2394, 0.2135, 0.1925),
)

FLUX: Final = LatentFormat(
    channels=16,
    scale=0.3611,
    shift=0.1159,
    preview_codec="taef1_decoder",
    rgb_factors=(
        (-0.0346, 0.0244, 0.0681),
        (0.0034, 0.0210, 0.0687),
        (0.0275, -0.0668, -0.0433),
        (-0.0174, 0.0160, 0.0617),
        (0.0859, 0.0721, 0.0329),
        (0.0004, 0.0383, 0.0115),
        (0.0405, 0.0861, 0.0915),
        (-0.0236, -0.0185, -0.0259),
        (-0.0245, 0.0250, 0.1180),
        (0.1008, 0.0755, -0.0421),
        (-0.0515, 0.0201, 0.0011),
        (0.0428, -0.0012, -0.0036),
        (0.0817, 0.0765, 0.0749),
        (-0.1264, -0.0522, -0.1103),
        (-0.0280, -0.0881, -0.0499),
        (-0.1262, -0.0982, -0.0778),
    ),
    rgb_bias=(-0.0329, -0.0718, -0.0851),
)
