"""What conditions become at a network's door: size vectors of SDXL, extra latent channels of inpainting models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, cast

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.image_fitting import resized, spread
from comfykernel_core_nodes.diffusion.unet import timestep_embedding
from comfykernel_sdk.families import Condition, LatentFormat, NetworkInput, Run, TokenSequence

# Channels of the embedding of one number (Podell et al. 2023, arXiv:2307.01952, section 2.2).
NUMBER_CHANNELS: Final = 256
# Pixels that a latent unit is wide.
LATENT_PIXELS: Final = 8
# What the refiner takes for the score of a good and a bad picture where a condition does not say.
GOOD_SCORE, BAD_SCORE = 6.0, 2.5
# A grey picture in the latents of SD1 and SDXL, in the model's scale: what inpainting models see behind a mask.
GREY_LATENT: Final = (0.8223, -0.6876, 0.6364, 0.1380)

ConcatPart = Literal["mask", "masked_image", "mask_inverted"]


def text_context(condition: Condition, run: Run) -> Mapping[str, NetworkInput]:
    """A network that is steered by text alone."""
    return {"context": TokenSequence(condition.tokens)}


def number(condition: Condition, name: str, default: float) -> float:
    """A number that a condition carries."""
    value = condition.extra.get(name, default)
    return float(value) if isinstance(value, int | float) else default


def size_vector(condition: Condition, run: Run) -> Tensor:
    """SDXL base: height, width, crop top, crop left, target height, target width as [1, 1536]."""
    height, width = picture_size(condition, run)
    return _embedded(
        (
            height,
            width,
            number(condition, "crop_h", 0),
            number(condition, "crop_w", 0),
            number(condition, "target_height", height),
            number(condition, "target_width", width),
        )
    )


def refiner_vector(condition: Condition, run: Run) -> Tensor:
    """SDXL refiner: height, width, crop top, crop left, aesthetic score as [1, 1280]."""
    height, width = picture_size(condition, run)
    return _embedded(
        (
            height,
            width,
            number(condition, "crop_h", 0),
            number(condition, "crop_w", 0),
            number(condition, "aesthetic_score", BAD_SCORE if run.negative else GOOD_SCORE),
        )
    )


def picture_size(condition: Condition, run: Run) -> tuple[float, float]:
    """Height and width in pixels that a condition names, else those of the picture."""
    height, width = (side * LATENT_PIXELS for side in run.noise.shape[-2:])
    return number(condition, "height", height), number(condition, "width", width)


def _embedded(numbers: Sequence[float]) -> Tensor:
    return timestep_embedding(torch.tensor(numbers), NUMBER_CHANNELS).flatten()[None]


def with_pooled(condition: Condition, vector: Tensor, width: int) -> Tensor:
    """The pooled text vector before a size vector; zeros where a condition has none."""
    pooled = condition.pooled
    if pooled is None:
        pooled = torch.zeros(1, width - vector.shape[1])
    return torch.cat([pooled.float().cpu(), vector.expand(len(pooled), -1)], dim=1)


def inpainting_channels(
    condition: Condition, run: Run, latent_format: LatentFormat, parts: Sequence[ConcatPart]
) -> Tensor:
    """The extra channels of an inpainting model, in the order of `parts`, for the noisy latent's size and batch.

    Where neither the condition nor the run has a mask, everything is masked and the picture is grey.
    """
    height, width = run.noise.shape[-2:]
    mask = _tensor(condition, "concat_mask")
    if mask is None:
        mask = run.mask
    if mask is None:
        return torch.cat([_blank(run.noise, part) for part in parts], dim=1)
    mask = mask[:, :1] if mask.ndim == run.noise.ndim else mask.reshape(-1, 1, *mask.shape[-2:])
    mask = spread(resized(mask.float(), height, width, crop=True).round(), len(run.noise))
    image = extra_latent(condition, run, latent_format)
    made: Mapping[ConcatPart, Tensor] = {"mask": mask, "masked_image": image, "mask_inverted": 1.0 - mask}
    return torch.cat([made[part].to(run.noise) for part in parts], dim=1)


def extra_latent(condition: Condition, run: Run, latent_format: LatentFormat) -> Tensor:
    """The latent that a condition carries for a model's extra channels, in the model's scale, fitted to the run.

    Without one, the latent that the run starts from.
    """
    carried = _tensor(condition, "concat_latent_image")
    if carried is not None:
        image = latent_format.to_model(carried.float())
    else:
        image = torch.zeros_like(run.noise) if run.latent is None else run.latent
    image = resized(image, run.noise.shape[-2], run.noise.shape[-1], crop=True)
    return spread(image, len(run.noise))


def _blank(noise: Tensor, part: ConcatPart) -> Tensor:
    if part == "masked_image":
        grey = noise.new_tensor(GREY_LATENT).view(1, -1, 1, 1)
        return grey.expand(len(noise), -1, *noise.shape[-2:])
    filled = torch.ones_like if part == "mask" else torch.zeros_like
    return filled(noise)[:, :1]


def _tensor(condition: Condition, name: str) -> Tensor | None:
    return cast("Tensor | None", condition.extra.get(name))
