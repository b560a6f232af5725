"""Nodes that show one picture to models of other views of a thing, or of a film that begins with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, TypeAlias

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.vision_encoding import VisionEncoder
from comfykernel_core_nodes.nodes.control.control_nets import Negative, Positive
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.editing.inpainting import NamedLatent
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.image.resampling import resize_image
from comfykernel_core_nodes.nodes.latent.pixels import present_codec
from comfykernel_core_nodes.nodes.open_sockets import OpenClipVision, OpenImage, OpenVae
from comfykernel_core_nodes.nodes.sockets import MAX_SIDE, Codec, VaeModel
from comfykernel_core_nodes.nodes.vision.encoders import ClipVision
from comfykernel_sdk.sockets import Float, Image, Int, LatentDict

view_node = extra_node("nodes_stable3d")
video_node = extra_node("nodes_video_model")

LATENT_CHANNELS = 4
LATENT_PIXELS = 8
FULL_TURN = 360.0

Views: TypeAlias = tuple[Positive, Negative, NamedLatent]
ViewSide: TypeAlias = Annotated[int, Int(default=256, min=16, max=MAX_SIDE, step=8)]
Batch: TypeAlias = Annotated[int, Int(default=1, min=1, max=4096)]
# The precision that clients keep is their own, which the option says.
Angle: TypeAlias = Annotated[float, Float(default=0.0, min=-180.0, max=180.0, step=0.1, options={"round": False})]
HalfAngle: TypeAlias = Annotated[float, Float(default=0.0, min=-90.0, max=90.0, step=0.1, options={"round": False})]


@view_node("StableZero123_Conditioning", category="conditioning/3d_models")
def stable_zero123_conditioning(
    clip_vision: OpenClipVision,
    init_image: OpenImage,
    vae: OpenVae,
    width: ViewSide,
    height: ViewSide,
    batch_size: Batch,
    elevation: Angle,
    azimuth: Angle,
) -> Views:
    """Ask Stable Zero123 for a thing as seen from another side; angles are in degrees, from where the picture is."""
    seen, pixels = _shown(clip_vision, vae, init_image, width, height)
    cameras = camera_vectors([elevation], [azimuth]).expand(-1, seen.shape[1], -1)
    positive, negative = _sides(torch.cat([seen, cameras], dim=-1), seen, pixels)
    return positive, negative, {"samples": _blank(batch_size, width, height)}


@view_node("StableZero123_Conditioning_Batched", category="conditioning/3d_models")
def stable_zero123_conditioning_batched(
    clip_vision: OpenClipVision,
    init_image: OpenImage,
    vae: OpenVae,
    width: ViewSide,
    height: ViewSide,
    batch_size: Batch,
    elevation: Angle,
    azimuth: Angle,
    elevation_batch_increment: Angle,
    azimuth_batch_increment: Angle,
) -> Views:
    """Ask Stable Zero123 for several views in one batch, each turned on by the increments; all have the same noise."""
    seen, pixels = _shown(clip_vision, vae, init_image, width, height)
    elevations = [elevation + number * elevation_batch_increment for number in range(batch_size)]
    azimuths = [azimuth + number * azimuth_batch_increment for number in range(batch_size)]
    cameras = camera_vectors(elevations, azimuths).expand(-1, seen.shape[1], -1)
    positive, negative = _sides(torch.cat([seen.repeat(batch_size, 1, 1), cameras], dim=-1), seen, pixels)
    latent: LatentDict = {"samples": _blank(batch_size, width, height), "batch_index": [0] * batch_size}
    return positive, negative, latent


@view_node("SV3D_Conditioning", category="conditioning/3d_models")
def sv3d_conditioning(
    clip_vision: OpenClipVision,
    init_image: OpenImage,
    vae: OpenVae,
    width: Annotated[int, Int(default=576, min=16, max=MAX_SIDE, step=8)],
    height: Annotated[int, Int(default=576, min=16, max=MAX_SIDE, step=8)],
    video_frames: Annotated[int, Int(default=21, min=1, max=4096)],
    elevation: HalfAngle,
) -> Views:
    """Ask SV3D for a walk around a thing, at one elevation in degrees."""
    seen, pixels = _shown(clip_vision, vae, init_image, width, height)
    step = FULL_TURN / (max(video_frames, 2) - 1)
    values: dict[str, object] = {
        "elevation": [elevation] * video_frames,
        "azimuth": [number * step for number in range(video_frames)],
    }
    positive, negative = _sides(seen, seen, pixels, values)
    return positive, negative, {"samples": _blank(video_frames, width, height)}


@video_node("SVD_img2vid_Conditioning", category="conditioning/video_models")
def svd_img2vid_conditioning(
    clip_vision: ClipVision,
    init_image: Image,
    vae: VaeModel,
    width: Annotated[int, Int(default=1024, min=16, max=MAX_SIDE, step=8)],
    height: Annotated[int, Int(default=576, min=16, max=MAX_SIDE, step=8)],
    video_frames: Annotated[int, Int(default=14, min=1, max=4096)],
    motion_bucket_id: Annotated[int, Int(default=127, min=1, max=1023)],
    fps: Annotated[int, Int(default=6, min=1, max=1024)],
    augmentation_level: Annotated[float, Float(default=0.0, min=0.0, max=10.0, step=0.01)],
) -> Views:
    """Ask Stable Video Diffusion for a film that begins with a picture (Blattmann et al. 2023, arXiv:2311.15127).

    A higher motion bucket moves more; augmentation is noise on the picture, which loosens the likeness.
    """
    seen, pixels = _shown(clip_vision, vae, init_image, width, height, noise=augmentation_level)
    values: dict[str, object] = {
        "motion_bucket_id": motion_bucket_id,
        "fps": fps,
        "augmentation_level": augmentation_level,
    }
    positive, negative = _sides(seen, seen, pixels, values)
    return positive, negative, {"samples": _blank(video_frames, width, height)}


def camera_vectors(elevations: Sequence[float], azimuths: Sequence[float]) -> Tensor:
    """Cameras as Zero123 sees them (Liu et al. 2023, arXiv:2303.11328), [cameras, 1, 4]; degrees.

    Minus the elevation, sine and cosine of the azimuth, and a right angle, all in radians.
    """
    elevation, azimuth = (torch.deg2rad(torch.tensor(angles)) for angles in (elevations, azimuths))
    upright = torch.full_like(elevation, math.pi / 2)
    return torch.stack([-elevation, azimuth.sin(), azimuth.cos(), upright], dim=-1)[:, None]


def _shown(
    clip_vision: VisionEncoder, vae: Codec | None, image: Tensor, width: int, height: int, noise: float = 0.0
) -> tuple[Tensor, Tensor]:
    """What the image encoder makes of a picture, as tokens [1, pictures, width], and its latent."""
    codec = present_codec(vae)
    with reported():
        seen = clip_vision.encode(image).image_embeds[None]
        pixels = resize_image(image[..., :3], width, height, "bilinear", "center")
        if noise > 0:
            pixels = pixels + torch.randn_like(pixels) * noise
        return seen, codec.encode(pixels)


def _sides(
    tokens: Tensor, seen: Tensor, pixels: Tensor, values: dict[str, object] | None = None
) -> tuple[list[Conditioning], list[Conditioning]]:
    """Conditions with a picture, and their opposites that have none."""
    values = values or {}
    positive = Conditioning(tokens, extra={**values, "concat_latent_image": pixels})
    negative = Conditioning(torch.zeros_like(seen), extra={**values, "concat_latent_image": torch.zeros_like(pixels)})
    return [positive], [negative]


def _blank(batch: int, width: int, height: int) -> Tensor:
    return torch.zeros(batch, LATENT_CHANNELS, height // LATENT_PIXELS, width // LATENT_PIXELS)
