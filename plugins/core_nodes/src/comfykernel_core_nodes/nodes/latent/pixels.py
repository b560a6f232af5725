"""Nodes between images and latents."""

from __future__ import annotations

import math
from typing import Annotated, Final

import torch
from torch import Tensor
from torch.nn import functional

from comfykernel_core_nodes.diffusion.image_codec import cropped_to_multiple
from comfykernel_core_nodes.nodes.declare import core_node
from comfykernel_core_nodes.nodes.errors import missing_part, reported
from comfykernel_core_nodes.nodes.sockets import Codec, VaeModel
from comfykernel_sdk.sockets import Image, Int, Latent, LatentDict, Mask, Out, Socket


class PixelCodec:
    """The codec of models that work on pixels: latents are the colours themselves, scaled to -1..1."""

    downscale = 1

    def encode(self, images: Tensor) -> Tensor:
        """Latents [batch, 3, height, width] in -1..1."""
        return images[..., :3].movedim(-1, 1) * 2.0 - 1.0

    def decode(self, latent: Tensor) -> Tensor:
        """Images [batch, height, width, 3] in 0..1."""
        return ((latent + 1.0) / 2.0).clamp(0.0, 1.0).movedim(1, -1)


GREY: Final = 0.5


def present_codec(vae: Codec | None) -> Codec:
    """The autoencoder; raises `BadInput` when the checkpoint held none."""
    if vae is None:
        raise missing_part("autoencoder", "Load one with VAELoader.")
    return vae


@core_node("VAEDecode", category="latent", display_name="VAE Decode")
def vae_decode(
    samples: Annotated[LatentDict, Socket("LATENT", tooltip="What a sampler made.", bare=False)],
    vae: Annotated[Codec | None, Socket("VAE", tooltip="The autoencoder of the same model.", bare=False)],
) -> Annotated[Image, Out(tooltip="The pictures.")]:
    """Turn latents into pictures."""
    with reported():
        return present_codec(vae).decode(samples["samples"])


@core_node("VAEEncode", category="latent", display_name="VAE Encode")
def vae_encode(pixels: Image, vae: VaeModel) -> Latent:
    """Turn pictures into latents; their sides are cut to whole latent positions."""
    with reported():
        return {"samples": present_codec(vae).encode(pixels)}


@core_node("VAEEncodeForInpaint", category="latent/inpaint", display_name="VAE Encode (for Inpainting)")
def vae_encode_for_inpaint(
    pixels: Image, vae: VaeModel, mask: Mask, grow_mask_by: Annotated[int, Int(default=6, min=0, max=64, step=1)]
) -> Latent:
    """Turn pictures into latents with the masked part greyed out, and let a sampler change that part only.

    ``grow_mask_by`` widens what the sampler may change, in pixels, so that the seam disappears.
    """
    codec = present_codec(vae)
    mask = functional.interpolate(mask.reshape(-1, 1, *mask.shape[-2:]), size=pixels.shape[1:3], mode="bilinear")
    with reported():
        pixels = cropped_to_multiple(pixels, codec.downscale)
        mask = cropped_to_multiple(mask.movedim(1, -1), codec.downscale).movedim(-1, 1).round()
        keep = 1.0 - mask.movedim(1, -1)
        colours = (pixels[..., :3] - GREY) * keep + GREY
        return {"samples": codec.encode(colours), "noise_mask": _grown(mask, grow_mask_by)}


def _grown(mask: Tensor, pixels: int) -> Tensor:
    """A mask [batch, 1, height, width] of 0 and 1, widened by a square of ``pixels`` by ``pixels``."""
    if pixels == 0:
        return mask
    kernel = torch.ones(1, 1, pixels, pixels)
    wide = functional.conv2d(mask, kernel, padding=math.ceil((pixels - 1) / 2)).clamp(0.0, 1.0)
    return wide[..., : mask.shape[-2], : mask.shape[-1]].round()
