"""Nodes that enlarge pictures: by upscaling networks, and by the diffusion model made for it."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final, TypeAlias

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.memory import default_memory, first_that_fits
from comfykernel_core_nodes.diffusion.tiling import tile_count
from comfykernel_core_nodes.diffusion.upscalers import OVERLAP, TILE, Upscaler, load_upscaler
from comfykernel_core_nodes.nodes.condition_values import with_values
from comfykernel_core_nodes.nodes.control.control_nets import Negative, Positive
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.editing.inpainting import NamedLatent
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.image.resampling import resize
from comfykernel_core_nodes.nodes.open_sockets import OpenConditions, OpenImage
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.sockets import Choice, Float, Image, Socket

upscale_node = extra_node("nodes_upscale_model")

FOLDER: Final = "upscale_models"
TILES: Final = (TILE, TILE // 2, TILE // 4)
"""Pixels of a tile's side, and of those that are tried when memory is out."""

UpscaleModel: TypeAlias = Annotated[Upscaler, Socket("UPSCALE_MODEL")]
# The latents of the model that enlarges four times are pictures of a quarter of the size.
ENLARGEMENT: Final = 4


@upscale_node("UpscaleModelLoader", category="loaders", display_name="Load Upscale Model")
def upscale_model_loader(
    context: NodeContext,
    model_name: Annotated[str, Choice(source=FOLDER, as_list=False, options={"multiselect": False})],
) -> UpscaleModel:
    """Load an upscaling network: ESRGAN, Real-ESRGAN or its compact form.

    Raises:
        NotFound: there is no such file.
        ModelFileError: the file is damaged, or holds no upscaling network of a known kind.
    """
    path = context.models.path(FOLDER, model_name)
    with reported():
        return load_upscaler(path)


@upscale_node("ImageUpscaleWithModel", category="image/upscaling", display_name="Upscale Image (using Model)")
def image_upscale_with_model(
    context: NodeContext, upscale_model: Annotated[Upscaler, Socket("UPSCALE_MODEL", bare=False)], image: OpenImage
) -> Image:
    """Enlarge pictures by a network, tile by tile; tiles are halved while the device is out of memory.

    Raises:
        BadInput: the picture has too few channels, or the memory is too small for the smallest tiles.
    """
    ways = [(f"tiles of {tile} pixels", partial(_in_tiles, context, upscale_model, image, tile)) for tile in TILES]
    with reported():
        return first_that_fits(default_memory(), "enlarging of pictures", ways)


def _in_tiles(context: NodeContext, model: Upscaler, image: Tensor, tile: int) -> Tensor:
    total = len(image) * tile_count((image.shape[1], image.shape[2]), (tile, tile), OVERLAP)
    done = 0

    def report() -> None:
        nonlocal done
        context.progress(done, total)
        done += 1

    enlarged = model.upscale(image, tile=tile, overlap=OVERLAP, check=report)
    context.progress(total, total)
    return enlarged


@extra_node("nodes_sdupscale")("SD_4XUpscale_Conditioning", category="conditioning/upscale_diffusion")
def sd_4x_upscale_conditioning(
    images: OpenImage,
    positive: OpenConditions,
    negative: OpenConditions,
    scale_ratio: Annotated[float, Float(default=4.0, min=0.0, max=10.0, step=0.01)],
    noise_augmentation: Annotated[float, Float(default=0.0, min=0.0, max=1.0, step=0.001)],
) -> tuple[Positive, Negative, NamedLatent]:
    """Show pictures to the diffusion model that enlarges four times; noise lets it invent more."""
    sides = (max(1, round(side * scale_ratio)) for side in images.shape[1:3])
    height, width = (max(1, side // ENLARGEMENT) for side in sides)
    pixels = resize(images.movedim(-1, 1) * 2.0 - 1.0, width, height, "bilinear", "center")
    values: dict[str, object] = {"concat_image": pixels, "noise_augmentation": noise_augmentation}
    latent = torch.zeros(len(images), 4, height, width)
    return with_values(positive, **values), with_values(negative, **values), {"samples": latent}
