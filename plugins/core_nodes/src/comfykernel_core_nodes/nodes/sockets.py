"""Sockets and widgets that nodes of several rooms share."""

from __future__ import annotations

from typing import Annotated, Final, Protocol, TypeAlias

from torch import Tensor

from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.text_encoding import TextEncoder
from comfykernel_sdk.sockets import Choice, Float, Int, Socket

MAX_SIDE: Final = 16384
"""Longest side of an image, in pixels."""

LARGEST_SEED: Final = 2**64 - 1
MOST_STEPS: Final = 10000


class Codec(Protocol):
    """What a VAE socket carries: from images [batch, height, width, 3] in 0..1 to latents [batch, channel, h, w]."""

    @property
    def downscale(self) -> int:
        """Pixels that a latent position is wide."""

    def encode(self, images: Tensor) -> Tensor:
        """Latents of images."""

    def decode(self, latent: Tensor) -> Tensor:
        """Images of latents."""


Model: TypeAlias = Annotated[DiffusionModel, Socket("MODEL")]
ClipModel: TypeAlias = Annotated[TextEncoder | None, Socket("CLIP")]
VaeModel: TypeAlias = Annotated[Codec | None, Socket("VAE")]
Conditions: TypeAlias = Annotated[list[Conditioning], Socket("CONDITIONING")]

Seed: TypeAlias = Annotated[int, Int(default=0, min=0, max=LARGEST_SEED, control_after_generate=True)]
Steps: TypeAlias = Annotated[int, Int(default=20, min=1, max=MOST_STEPS)]
Guidance: TypeAlias = Annotated[float, Float(default=8.0, min=0.0, max=100.0, step=0.1, round=0.01)]
Strength: TypeAlias = Annotated[float, Float(default=1.0, min=-100.0, max=100.0, step=0.01)]

ResizeMethod: TypeAlias = Annotated[str, Choice("nearest-exact", "bilinear", "area", "bicubic", "lanczos", bare=True)]
CropMethod: TypeAlias = Annotated[str, Choice("disabled", "center", bare=True)]
Side: TypeAlias = Annotated[int, Int(default=512, min=1, max=MAX_SIDE, step=1)]
SideOrAuto: TypeAlias = Annotated[int, Int(default=512, min=0, max=MAX_SIDE, step=1)]
Offset: TypeAlias = Annotated[int, Int(default=0, min=0, max=MAX_SIDE, step=1)]
