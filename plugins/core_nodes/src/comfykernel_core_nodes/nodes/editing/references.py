"""Nodes for models that take pictures as references beside the text, such as Flux Kontext."""

from __future__ import annotations

import math
from typing import Annotated, Final, Literal, TypedDict

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.nodes.condition_values import with_appended, with_values
from comfykernel_core_nodes.nodes.control.control_nets import Negative, Positive
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.image.resampling import resize_image
from comfykernel_core_nodes.nodes.latent.pixels import present_codec
from comfykernel_core_nodes.nodes.open_sockets import OpenConditions, OpenImage, OpenVae
from comfykernel_core_nodes.nodes.sockets import Conditions
from comfykernel_sdk.sockets import Choice, Float, Growing, Image, Latent, LatentDict, Out, Socket

flux_node = extra_node("nodes_flux")

REFERENCES: Final = "reference_latents"
MOST_REFERENCES: Final = 100
MEGAPIXEL: Final = 1024 * 1024
# Side, in latent units, of the blank latent where there is no picture whose size it could have.
BLANK_SIDE: Final = 128
# Width and height that Kontext was trained with (Black Forest Labs 2025, arXiv:2506.15742).
KONTEXT_SIZES: Final = (
    (672, 1568), (688, 1504), (720, 1456), (752, 1392), (800, 1328), (832, 1248), (880, 1184), (944, 1104),
    (1024, 1024), (1104, 944), (1184, 880), (1248, 832), (1328, 800), (1392, 752), (1456, 720), (1504, 688),
    (1568, 672),
)  # fmt: skip
# The choice of the node, and the method that models know.
METHODS: Final = {"offset": "offset", "index": "index", "uxo/uno": "uxo"}


@extra_node("nodes_edit_model")("ReferenceLatent", category="advanced/conditioning/edit_models")
def reference_latent(
    conditioning: OpenConditions, latent: Annotated[LatentDict | None, Socket("LATENT", bare=False)] = None
) -> Conditions:
    """Give a model for editing one more picture to follow; several in a row are all followed."""
    if latent is None:
        return conditioning
    return with_appended(conditioning, REFERENCES, latent["samples"])


@flux_node("FluxKontextImageScale", category="advanced/conditioning/flux")
def flux_kontext_image_scale(image: OpenImage) -> Image:
    """Resize a picture to the size among those that Flux Kontext was trained with whose proportions are the nearest."""
    proportion = image.shape[2] / image.shape[1]
    width, height = min(KONTEXT_SIZES, key=lambda size: abs(proportion - size[0] / size[1]))
    return resize_image(image, width, height, "lanczos", "center")


@flux_node("FluxKontextMultiReferenceLatentMethod", category="advanced/conditioning/flux", experimental=True)
def flux_kontext_multi_reference_latent_method(
    conditioning: OpenConditions,
    reference_latents_method: Annotated[str, Choice(*METHODS, as_list=False, options={"multiselect": False})],
) -> Conditions:
    """Choose where several references stand: side by side, at one place with numbers, or along the diagonal."""
    return with_values(conditioning, reference_latents_method=METHODS[reference_latents_method])


class KeptResolution(TypedDict):
    """Pictures as they are."""

    resolution: Literal["keep resolution"]


class Resized(TypedDict):
    """Pictures of so many million pixels, in their own proportions."""

    resolution: Literal["resize"]
    megapixels: Annotated[float, Float(default=1.0, min=0.01, max=16.0, step=0.01)]


@extra_node("nodes_edit_model")("ReferenceMultiLatent", category="advanced/conditioning/edit_models")
def reference_multi_latent(
    positive: OpenConditions,
    resolution: KeptResolution | Resized,
    images: Annotated[dict[str, Image | None], Growing("image", min=1, max=MOST_REFERENCES)],
    negative: Annotated[list[Conditioning] | None, Socket("CONDITIONING", bare=False)] = None,
    vae: OpenVae = None,
) -> tuple[Positive, Negative, Annotated[Latent, Out("empty_latent")]]:
    """Give a model for editing several pictures to follow at once, and a blank latent of the first one's size.

    Without a negative condition the positive one stands for it.
    """
    given = [image for image in images.values() if image is not None]
    if not given:
        blank: LatentDict = {"samples": torch.zeros(1, 16, BLANK_SIDE, BLANK_SIDE)}
        return positive, positive if negative is None else negative, blank
    codec = present_codec(vae)
    with reported():
        latents = [codec.encode(_prepared(image, resolution)[..., :3]) for image in given]
    sides = [positive, positive if negative is None else negative]
    for latent in latents:
        sides = [with_appended(side, REFERENCES, latent) for side in sides]
    return sides[0], sides[1], {"samples": torch.zeros_like(latents[0])}


def _prepared(image: Tensor, resolution: KeptResolution | Resized) -> Tensor:
    if resolution["resolution"] == "keep resolution":
        return image
    scale = math.sqrt(resolution["megapixels"] * MEGAPIXEL / (image.shape[1] * image.shape[2]))
    height, width = (max(1, round(side * scale)) for side in image.shape[1:3])
    return resize_image(image, width, height, "area")
