"""unCLIP: pictures seen by CLIP as a vector for a UNet, with noise that loosens them (Ramesh et al. 2022)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.unet import timestep_embedding

NOISE_LEVELS: Final = 1000
# Largest share of a step's noise (Nichol and Dhariwal 2021, section 3.2).
LARGEST_BETA: Final = 0.999
# Noise of several pictures merged into one, where a condition does not say.
USUAL_MERGE: Final = 0.05
# Where checkpoints keep the scale of image vectors, and the image encoder in the layouts of open_clip or Hugging Face.
AUGMENTATION_PREFIX: Final = "noise_augmentor."
VISION_PREFIX: Final = "embedder.model.visual."
VISION_PREFIXES: Final = (VISION_PREFIX, "embedder.model.vision_model.", "embedder.model.visual_projection.")
# The noise of a picture is drawn with the run's seed less this.
SEED_OFFSET: Final = 10


@dataclass(frozen=True, slots=True, eq=False)
class SeenPicture:
    """A picture as a condition carries it, under `unclip_conditioning`."""

    embeds: Tensor
    """[pictures, width]: the image encoder's `image_embeds`"""
    strength: float = 1.0
    noise_augmentation: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Augmentation:
    """Noise on image vectors, in the scale in which a model was trained: [1, width] of mean and deviation."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def plain(cls, width: int) -> Augmentation:
        """For models that take vectors as they are."""
        return cls(torch.zeros(1, width), torch.ones(1, width))

    def noisy(self, vectors: Tensor, amount: float, seed: int | None) -> Tensor:
        """Vectors [rows, width] with an amount (0..1) of noise, and what says how much: [rows, 2 * width].

        Without a seed the noise comes from torch's generator.
        """
        level = round((NOISE_LEVELS - 1) * amount)
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        noise = torch.randn(vectors.shape, generator=generator)
        alpha = cosine_alphas()[level]
        scaled = (vectors.float().cpu() - self.mean) / self.deviation
        loosened = alpha.sqrt() * scaled + (1 - alpha).sqrt() * noise
        said = timestep_embedding(torch.full((len(vectors),), float(level)), self.mean.shape[1])
        return torch.cat([loosened * self.deviation + self.mean, said], dim=1)


def cosine_alphas() -> Tensor:
    """Cumulative alphas of the cosine schedule (Nichol and Dhariwal 2021, eq. 17), float32 [1000]."""

    def bar(t: float) -> float:
        return math.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2

    steps = range(NOISE_LEVELS)
    betas = [min(1 - bar((n + 1) / NOISE_LEVELS) / bar(n / NOISE_LEVELS), LARGEST_BETA) for n in steps]
    return torch.cumprod(1.0 - torch.tensor(betas, dtype=torch.float64), dim=0).float()


def picture_vector(
    pictures: Sequence[SeenPicture], augmentation: Augmentation, seed: int, merge: float = USUAL_MERGE
) -> Tensor:
    """The vector [1, 2 * width] of all pictures, weighted by their strengths; several are merged with more noise."""
    parts = [
        augmentation.noisy(row[None], picture.noise_augmentation, seed % 2**64) * picture.strength
        for picture in pictures
        for row in picture.embeds
    ]
    if len(parts) == 1:
        return parts[0]
    total = torch.stack(parts).sum(0)
    return augmentation.noisy(total[:, : augmentation.mean.shape[1]], merge, None)
