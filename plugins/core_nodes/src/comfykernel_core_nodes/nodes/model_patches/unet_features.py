"""Nodes that change the feature maps and tokens of UNets: FreeU, HyperTile, token merging, deep shrink."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final, TypeAlias

from comfykernel_core_nodes.diffusion.deep_shrink import deep_shrink
from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.free_u import free_u, free_u_v2
from comfykernel_core_nodes.diffusion.hyper_tile import hyper_tile
from comfykernel_core_nodes.diffusion.token_merging import merge_tokens
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.image.resampling import resize
from comfykernel_core_nodes.nodes.sockets import Model
from comfykernel_sdk.sockets import Choice, Float, Int, Socket, Toggle

CATEGORY: Final = "model_patches/unet"

free_u_node = extra_node("nodes_freelunch")
hyper_tile_node = extra_node("nodes_hypertile")
token_node = extra_node("nodes_tomesd")
shrink_node = extra_node("nodes_model_downscale")

ListedModel: TypeAlias = Annotated[DiffusionModel, Socket("MODEL", bare=False)]
ResizeMethod: TypeAlias = Annotated[
    str,
    Choice("bicubic", "nearest-exact", "bilinear", "area", "bislerp", as_list=False, options={"multiselect": False}),
]
Percent: TypeAlias = Annotated[float, Float(default=0.0, min=0.0, max=1.0, step=0.001)]


@free_u_node("FreeU", category=CATEGORY, display_name="FreeU")
def free_u_patch(
    model: Model,
    b1: Annotated[float, Float(default=1.1, min=0.0, max=10.0, step=0.01)],
    b2: Annotated[float, Float(default=1.2, min=0.0, max=10.0, step=0.01)],
    s1: Annotated[float, Float(default=0.9, min=0.0, max=10.0, step=0.01)],
    s2: Annotated[float, Float(default=0.2, min=0.0, max=10.0, step=0.01)],
) -> Model:
    """Strengthen a UNet's own features against those of its skip connections: more substance, fewer artefacts.

    Raises:
        BadInput: the model is no UNet.
    """
    with reported():
        return free_u(model, b1=b1, b2=b2, s1=s1, s2=s2)


@free_u_node("FreeU_V2", category=CATEGORY, display_name="FreeU_V2")
def free_u_v2_patch(
    model: Model,
    b1: Annotated[float, Float(default=1.3, min=0.0, max=10.0, step=0.01)],
    b2: Annotated[float, Float(default=1.4, min=0.0, max=10.0, step=0.01)],
    s1: Annotated[float, Float(default=0.9, min=0.0, max=10.0, step=0.01)],
    s2: Annotated[float, Float(default=0.2, min=0.0, max=10.0, step=0.01)],
) -> Model:
    """FreeU whose strength follows the picture: places with much going on are strengthened more.

    Raises:
        BadInput: the model is no UNet.
    """
    with reported():
        return free_u_v2(model, b1=b1, b2=b2, s1=s1, s2=s2)


@hyper_tile_node("HyperTile", category=CATEGORY, deprecated=False, experimental=False, api_node=False)
def hyper_tile_patch(
    model: ListedModel,
    tile_size: Annotated[int, Int(default=256, min=1, max=2048)],
    swap_size: Annotated[int, Int(default=2, min=1, max=128)],
    max_depth: Annotated[int, Int(default=0, min=0, max=10)],
    scale_depth: Annotated[bool, Toggle(default=False)],
) -> Model:
    """Let self-attention see tiles of the picture: large pictures take less time.

    Raises:
        BadInput: the model is no UNet.
    """
    with reported():
        return hyper_tile(model, tile_size=tile_size, swap_size=swap_size, max_depth=max_depth, scale_depth=scale_depth)


@token_node("TomePatchModel", category=CATEGORY, deprecated=False, experimental=False, api_node=False)
def merge_tokens_patch(
    model: ListedModel, ratio: Annotated[float, Float(default=0.3, min=0.0, max=1.0, step=0.01)]
) -> Model:
    """Merge this part of the tokens that ask in self-attention into similar ones: faster, with less detail.

    Raises:
        BadInput: the model is no UNet.
    """
    with reported():
        return merge_tokens(model, ratio)


@shrink_node(
    "PatchModelAddDownscale",
    category=CATEGORY,
    display_name="PatchModelAddDownscale (Kohya Deep Shrink)",
    deprecated=False,
    experimental=False,
    api_node=False,
)
def deep_shrink_patch(
    model: ListedModel,
    block_number: Annotated[int, Int(default=3, min=1, max=32, step=1)],
    downscale_factor: Annotated[float, Float(default=2.0, min=0.1, max=9.0, step=0.001)],
    start_percent: Percent,
    end_percent: Annotated[float, Float(default=0.35, min=0.0, max=1.0, step=0.001)],
    downscale_after_skip: Annotated[bool, Toggle(default=True)],
    downscale_method: ResizeMethod,
    upscale_method: ResizeMethod,
) -> Model:
    """Let a UNet lay out large pictures on smaller maps in the first steps, so that nothing appears twice.

    Raises:
        BadInput: the model is no UNet.
    """
    with reported():
        return deep_shrink(
            model, block=block_number, factor=downscale_factor, start_percent=start_percent, end_percent=end_percent,
            after_skip=downscale_after_skip, shrink=partial(resize, method=downscale_method),
            enlarge=partial(resize, method=upscale_method),
        )  # fmt: skip
