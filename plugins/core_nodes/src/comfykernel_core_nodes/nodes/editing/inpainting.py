"""Nodes that show pictures to models that fill or edit them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import torch
from torch import Tensor
from torch.nn import functional

from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.errors import LatentShapeError
from comfykernel_core_nodes.diffusion.image_codec import cropped_to_multiple
from comfykernel_core_nodes.nodes.condition_values import with_values
from comfykernel_core_nodes.nodes.control.control_nets import Negative, Positive
from comfykernel_core_nodes.nodes.declare import core_node, extra_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.latent.pixels import present_codec
from comfykernel_core_nodes.nodes.open_sockets import OpenConditions, OpenImage, OpenVae
from comfykernel_core_nodes.nodes.sockets import Conditions, VaeModel
from comfykernel_sdk.sockets import Image, Latent, LatentDict, Mask, Out, Toggle

GREY: Final = 0.5

NamedLatent = Annotated[Latent, Out("latent")]


@core_node("InpaintModelConditioning", category="conditioning/inpaint")
def inpaint_model_conditioning(
    positive: Conditions,
    negative: Conditions,
    vae: VaeModel,
    pixels: Image,
    mask: Mask,
    noise_mask: Annotated[
        bool,
        Toggle(default=True, tooltip="Keep what is outside the mask as it is; else all of the picture may change."),
    ],
) -> tuple[Positive, Negative, NamedLatent]:
    """Show a picture and its mask to a model that was trained to fill what is masked.

    A mask of another size is resized to the picture's; sides are cut to whole latent positions.
    """
    codec = present_codec(vae)
    with reported():
        cut = cropped_to_multiple(pixels, codec.downscale)
        fitted = _mask_for(mask, pixels, codec.downscale)
        keep = 1.0 - fitted[:, 0, :, :, None].round()
        seen = codec.encode((cut[..., :3] - GREY) * keep + GREY)
        latent: LatentDict = {"samples": codec.encode(pixels)}
    if noise_mask:
        latent["noise_mask"] = fitted
    values: dict[str, object] = {"concat_latent_image": seen, "concat_mask": fitted}
    return with_values(positive, **values), with_values(negative, **values), latent


def _mask_for(mask: Tensor, pixels: Tensor, multiple: int) -> Tensor:
    """A mask as [batch, 1, height, width] for pictures cut to a multiple; raises `LatentShapeError`."""
    if not mask.numel():
        raise LatentShapeError(f"Expected a mask [batch, height, width], got an empty one, {list(mask.shape)}.")
    mask = mask.reshape(-1, 1, *mask.shape[-2:]).float()
    if len(mask) not in (1, len(pixels)) and len(pixels) != 1:
        raise LatentShapeError(
            f"There are {len(pixels)} pictures and {len(mask)} masks.", "Give one mask, or as many as pictures."
        )
    mask = functional.interpolate(mask, size=pixels.shape[1:3], mode="bilinear")
    return cropped_to_multiple(mask.movedim(1, -1), multiple).movedim(-1, 1)


@extra_node("nodes_ip2p")("InstructPixToPixConditioning", category="conditioning/instructpix2pix")
def instruct_pix_to_pix_conditioning(
    positive: OpenConditions, negative: OpenConditions, vae: OpenVae, pixels: OpenImage
) -> tuple[Positive, Negative, NamedLatent]:
    """Show a picture to a model that changes pictures by instructions (Brooks et al. 2022, arXiv:2211.09800)."""
    codec = present_codec(vae)
    with reported():
        seen = codec.encode(cropped_to_multiple(pixels, codec.downscale))
    return (*_showing((positive, negative), seen), {"samples": torch.zeros_like(seen)})


def _showing(sides: tuple[Sequence[Conditioning], Sequence[Conditioning]], seen: Tensor) -> tuple[Positive, Negative]:
    positive, negative = sides
    return with_values(positive, concat_latent_image=seen), with_values(negative, concat_latent_image=seen)
