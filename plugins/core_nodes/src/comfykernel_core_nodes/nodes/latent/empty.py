"""Blank latents of model families: their channels, and how many pixels and frames a unit stands for."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import torch

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.open_sockets import OpenLatent
from comfykernel_core_nodes.nodes.sockets import MAX_SIDE
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import Int, Latent, LatentDict

sd3_node = extra_node("nodes_sd3")
hunyuan_node = extra_node("nodes_hunyuan")

LARGEST_BATCH: Final = 4096

Batch: TypeAlias = Annotated[int, Int(default=1, min=1, max=LARGEST_BATCH)]
LargeSide: TypeAlias = Annotated[int, Int(default=1024, min=16, max=MAX_SIDE, step=16)]
Width848: TypeAlias = Annotated[int, Int(default=848, min=16, max=MAX_SIDE, step=16)]
Height480: TypeAlias = Annotated[int, Int(default=480, min=16, max=MAX_SIDE, step=16)]
Width1280: TypeAlias = Annotated[int, Int(default=1280, min=16, max=MAX_SIDE, step=16)]
Height704: TypeAlias = Annotated[int, Int(default=704, min=16, max=MAX_SIDE, step=16)]


def blank_picture(batch: int, channels: int, height: int, width: int, pixels: int) -> LatentDict:
    """Zeros for pictures; `pixels` is how wide a unit is."""
    return {"samples": torch.zeros(batch, channels, height // pixels, width // pixels)}


def blank_film(
    batch: int, channels: int, frames: int, height: int, width: int, *, pixels: int, together: int
) -> LatentDict:
    """Zeros for films: the first frame has a unit of time to itself, later ones share one by so many `together`."""
    shape = (batch, channels, (frames - 1) // together + 1, height // pixels, width // pixels)
    return {"samples": torch.zeros(shape)}


@sd3_node("EmptySD3LatentImage", category="latent/sd3")
def empty_sd3_latent_image(width: LargeSide, height: LargeSide, batch_size: Batch) -> Latent:
    """Make blank latents of 16 channels, for SD3, Flux.1 and others."""
    return blank_picture(batch_size, 16, height, width, 8)


@extra_node("nodes_chroma_radiance")("EmptyChromaRadianceLatentImage", category="latent/chroma_radiance")
def empty_chroma_radiance_latent_image(width: LargeSide, height: LargeSide, batch_size: Batch) -> Latent:
    """Make blank pictures for Chroma Radiance, which works on pixels."""
    return blank_picture(batch_size, 3, height, width, 1)


@extra_node("nodes_flux")("EmptyFlux2LatentImage", category="latent")
def empty_flux2_latent_image(
    width: Annotated[int, Int(default=1024, min=16, max=MAX_SIDE, step=16)],
    height: Annotated[int, Int(default=1024, min=16, max=MAX_SIDE, step=16)],
    batch_size: Annotated[int, Int(default=1, min=1, max=LARGEST_BATCH)] = 1,
) -> Latent:
    """Make blank latents for Flux.2: 128 channels, 16 pixels to a unit."""
    return blank_picture(batch_size, 128, height, width, 16)


@extra_node("nodes_hidream_o1")("EmptyHiDreamO1LatentImage", category="latent/image")
def empty_hidream_o1_latent_image(
    width: Annotated[int, Int(default=2048, min=64, max=4096, step=32)],
    height: Annotated[int, Int(default=2048, min=64, max=4096, step=32)],
    batch_size: Annotated[int, Int(default=1, min=1, max=64)],
) -> Latent:
    """Make blank pictures for HiDream-O1, which works on pixels, of about four million of them."""
    return blank_picture(batch_size, 3, height, width, 1)


@hunyuan_node("EmptyHunyuanImageLatent", category="latent")
def empty_hunyuan_image_latent(
    width: Annotated[int, Int(default=2048, min=64, max=MAX_SIDE, step=32)],
    height: Annotated[int, Int(default=2048, min=64, max=MAX_SIDE, step=32)],
    batch_size: Batch,
) -> Latent:
    """Make blank latents for HunyuanImage: 64 channels, 32 pixels to a unit."""
    return blank_picture(batch_size, 64, height, width, 32)


@extra_node("nodes_qwen")("EmptyQwenImageLayeredLatentImage", category="latent/qwen")
def empty_qwen_image_layered_latent_image(
    width: Annotated[int, Int(default=640, min=16, max=MAX_SIDE, step=16)],
    height: Annotated[int, Int(default=640, min=16, max=MAX_SIDE, step=16)],
    layers: Annotated[int, Int(default=3, min=0, max=MAX_SIDE, step=1)],
    batch_size: Batch,
) -> Latent:
    """Make blank latents for pictures in layers: the whole picture comes first, then each layer."""
    return {"samples": torch.zeros(batch_size, 16, layers + 1, height // 8, width // 8)}


@hunyuan_node("EmptyHunyuanLatentVideo", category="latent/video")
def empty_hunyuan_latent_video(
    width: Width848,
    height: Height480,
    length: Annotated[int, Int(default=25, min=1, max=MAX_SIDE, step=4)],
    batch_size: Batch,
) -> Latent:
    """Make blank latents for films of HunyuanVideo, Wan 2.1 and others; `length` is in frames."""
    return blank_film(batch_size, 16, length, height, width, pixels=8, together=4)


@hunyuan_node("EmptyHunyuanVideo15Latent", category="latent/video")
def empty_hunyuan_video15_latent(
    width: Width848,
    height: Height480,
    length: Annotated[int, Int(default=25, min=1, max=MAX_SIDE, step=4)],
    batch_size: Annotated[int, Int(default=1, min=1, max=LARGEST_BATCH)] = 1,
) -> Latent:
    """Make blank latents for films of HunyuanVideo 1.5; `length` is in frames."""
    return blank_film(batch_size, 32, length, height, width, pixels=16, together=4)


@extra_node("nodes_lt")("EmptyLTXVLatentVideo", category="latent/video/ltxv")
def empty_ltxv_latent_video(
    width: Annotated[int, Int(default=768, min=64, max=MAX_SIDE, step=32)],
    height: Annotated[int, Int(default=512, min=64, max=MAX_SIDE, step=32)],
    length: Annotated[int, Int(default=97, min=1, max=MAX_SIDE, step=8)],
    batch_size: Batch,
) -> Latent:
    """Make blank latents for films of LTX-Video; `length` is in frames."""
    return blank_film(batch_size, 128, length, height, width, pixels=32, together=8)


@extra_node("nodes_mochi")("EmptyMochiLatentVideo", category="latent/video")
def empty_mochi_latent_video(
    width: Width848,
    height: Height480,
    length: Annotated[int, Int(default=25, min=7, max=MAX_SIDE, step=6)],
    batch_size: Batch,
) -> Latent:
    """Make blank latents for films of Mochi; `length` is in frames."""
    return blank_film(batch_size, 12, length, height, width, pixels=8, together=6)


@extra_node("nodes_cosmos")("EmptyCosmosLatentVideo", category="latent/video")
def empty_cosmos_latent_video(
    width: Width1280,
    height: Height704,
    length: Annotated[int, Int(default=121, min=1, max=MAX_SIDE, step=8)],
    batch_size: Batch,
) -> Latent:
    """Make blank latents for films of Cosmos; `length` is in frames."""
    return blank_film(batch_size, 16, length, height, width, pixels=8, together=8)


@extra_node("nodes_wan")("TrimVideoLatent", category="latent/video")
def trim_video_latent(samples: OpenLatent, trim_amount: Annotated[int, Int(default=0, min=0, max=99999)]) -> Latent:
    """Cut so many units of time off the beginning of a film's latents."""
    if samples["samples"].ndim != 5:
        found = list(samples["samples"].shape)
        raise BadInput(
            f"Expected latents of films, [batch, channel, time, height, width], got {found}.", type="invalid_shape"
        )
    return {**samples, "samples": samples["samples"][:, :, trim_amount:]}
