"""Latents of films whose first or last pictures are given, for models that fill the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final, TypeAlias

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.errors import LatentShapeError
from comfykernel_core_nodes.diffusion.published_latents import PUBLISHED_FORMATS
from comfykernel_core_nodes.nodes.condition_values import with_values
from comfykernel_core_nodes.nodes.control.control_nets import Negative, Positive
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.editing.inpainting import NamedLatent
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.image.resampling import resize_image
from comfykernel_core_nodes.nodes.latent.empty import Batch, Height480, Height704, Width848, Width1280, blank_film
from comfykernel_core_nodes.nodes.latent.pixels import present_codec
from comfykernel_core_nodes.nodes.open_sockets import OpenVae
from comfykernel_core_nodes.nodes.sockets import MAX_SIDE, Codec, Conditions
from comfykernel_sdk.sockets import Float, Int, Latent, LatentDict, Socket

cosmos_node = extra_node("nodes_cosmos")

GREY: Final = 0.5
# Frames that share a unit of time after the first one.
COSMOS_FRAMES: Final = 8
WAN_FRAMES: Final = 4
REFINER_CHANNELS: Final = 32

GivenImage: TypeAlias = Annotated[Tensor | None, Socket("IMAGE", bare=False)]


@cosmos_node("CosmosImageToVideoLatent", category="conditioning/inpaint")
def cosmos_image_to_video_latent(
    vae: OpenVae,
    width: Width1280,
    height: Height704,
    length: Annotated[int, Int(default=121, min=1, max=MAX_SIDE, step=8)],
    batch_size: Batch,
    start_image: GivenImage = None,
    end_image: GivenImage = None,
) -> Latent:
    """Make latents of a film for Cosmos, whose first or last pictures stay as they are given."""
    blank = blank_film(1, 16, length, height, width, pixels=8, together=COSMOS_FRAMES)
    film = _Film(present_codec(vae), blank["samples"], length, 8, COSMOS_FRAMES)
    film.begin(start_image, grey_units=1)
    film.end(end_image)
    return film.latent(batch_size)


@cosmos_node("CosmosPredict2ImageToVideoLatent", category="conditioning/inpaint")
def cosmos_predict2_image_to_video_latent(
    vae: OpenVae,
    width: Width848,
    height: Height480,
    length: Annotated[int, Int(default=93, min=1, max=MAX_SIDE, step=4)],
    batch_size: Batch,
    start_image: GivenImage = None,
    end_image: GivenImage = None,
) -> Latent:
    """Make latents of a film for Cosmos Predict 2, whose first or last pictures stay as they are given."""
    blank = blank_film(1, 16, length, height, width, pixels=8, together=WAN_FRAMES)
    film = _Film(present_codec(vae), blank["samples"], length, 8, WAN_FRAMES)
    film.begin(start_image, grey_units=1)
    film.end(end_image)
    return film.latent(batch_size, blank_as="Wan21")


@extra_node("nodes_wan")("Wan22ImageToVideoLatent", category="conditioning/inpaint")
def wan22_image_to_video_latent(
    vae: OpenVae,
    width: Annotated[int, Int(default=1280, min=32, max=MAX_SIDE, step=32)],
    height: Annotated[int, Int(default=704, min=32, max=MAX_SIDE, step=32)],
    length: Annotated[int, Int(default=49, min=1, max=MAX_SIDE, step=4)],
    batch_size: Batch,
    start_image: GivenImage = None,
) -> Latent:
    """Make latents of a film for Wan 2.2, whose first pictures stay as they are given."""
    blank = blank_film(1, 48, length, height, width, pixels=16, together=WAN_FRAMES)
    film = _Film(present_codec(vae), blank["samples"], length, 16, WAN_FRAMES)
    film.begin(start_image, grey_units=None)
    return film.latent(batch_size, blank_as="Wan22")


@extra_node("nodes_hunyuan")("HunyuanRefinerLatent", category="sd")
def hunyuan_refiner_latent(
    positive: Conditions,
    negative: Conditions,
    latent: Latent,
    noise_augmentation: Annotated[float, Float(default=0.1, min=0.0, max=1.0, step=0.01)],
) -> tuple[Positive, Negative, NamedLatent]:
    """Show a latent to the refiner of HunyuanImage, with blank latents of its own for it to fill."""
    samples = latent["samples"]
    values: dict[str, object] = {"concat_latent_image": samples, "noise_augmentation": noise_augmentation}
    blank = torch.zeros(len(samples), REFINER_CHANNELS, *samples.shape[-3:])
    return with_values(positive, **values), with_values(negative, **values), {"samples": blank}


@dataclass
class _Film:
    """Latents of a film into which pictures are put, and where they are not: what a sampler may change."""

    codec: Codec
    samples: Tensor
    """[1, channel, time, height, width]"""
    length: int
    """frames"""
    pixels: int
    """how wide a unit is"""
    together: int
    """frames of a unit of time, after the first"""
    mask: Tensor = field(init=False)
    filled: bool = False

    def __post_init__(self) -> None:
        self.mask = torch.ones(1, 1, *self.samples.shape[2:])

    def begin(self, images: Tensor | None, *, grey_units: int | None) -> None:
        """Put pictures at the beginning; raises `BadInput`."""
        if images is not None:
            latent = self._encoded(images, grey_units)
            self._put(latent, slice(0, latent.shape[2]))

    def end(self, images: Tensor | None) -> None:
        """Put pictures at the end; raises `BadInput`."""
        if images is not None:
            latent = self._encoded(images, 0)
            self._put(latent, slice(self.samples.shape[2] - latent.shape[2], None))

    def _put(self, latent: Tensor, times: slice) -> None:
        self.samples[:, :, times] = latent
        self.mask[:, :, times] = 0.0
        self.filled = True

    def _encoded(self, images: Tensor, grey_units: int | None) -> Tensor:
        """Latents of pictures; `grey_units` of time are encoded after them, so that their end is like a film's."""
        height, width = (side * self.pixels for side in self.samples.shape[-2:])
        images = resize_image(images[: self.length, ..., :3], width, height, "bilinear", "center")
        units = (len(images) - 1) // self.together + 1
        if grey_units is not None:
            frames = max(len(images), min(self.length, (units + grey_units - 1) * self.together + 1))
            padded = torch.full((frames, height, width, 3), GREY)
            padded[: len(images)] = images
            images = padded
        with reported():
            latent = self.codec.encode(images)
            self._check(latent)
        return latent[:, :, :units]

    def _check(self, latent: Tensor) -> None:
        """Raise `LatentShapeError` for what no VAE of this film's model makes."""
        channels, sides = self.samples.shape[1], self.samples.shape[-2:]
        if latent.ndim != 5 or latent.shape[:2] != (1, channels) or latent.shape[-2:] != sides:
            raise LatentShapeError(
                f"Expected a VAE of films with {channels} channels, got one that makes {list(latent.shape)}.",
                "Load the VAE that belongs to the model.",
            )

    def latent(self, batch: int, blank_as: str | None = None) -> LatentDict:
        """What a sampler starts from; unfilled parts are blank in the scale of the model `blank_as` names."""
        repeats = (batch, 1, 1, 1, 1)
        if not self.filled:
            return {"samples": self.samples.repeat(repeats)}
        film = self.samples
        if blank_as is not None:
            film = PUBLISHED_FORMATS[blank_as].from_model(film) * self.mask + film * (1.0 - self.mask)
        return {"samples": film.repeat(repeats), "noise_mask": self.mask.repeat(repeats)}
