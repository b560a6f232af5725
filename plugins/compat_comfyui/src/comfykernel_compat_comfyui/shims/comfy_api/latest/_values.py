"""Classes of values, grouped as packs know them: ``Input``, ``InputImpl``, ``Types``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfykernel_compat_comfyui.schema_nodes import media_types, video_files

if TYPE_CHECKING:
    from torch import Tensor
else:
    Tensor = Any


class Input:
    """What nodes take."""

    Image = Tensor
    Mask = Tensor
    Audio = media_types.AudioInput
    Latent = media_types.LatentInput
    Video = media_types.VideoInput


class InputImpl:
    """Films that nodes give."""

    VideoFromFile = video_files.VideoFromFile
    VideoFromComponents = video_files.VideoFromComponents


class Types:
    """Values with methods."""

    VideoCodec = media_types.VideoCodec
    VideoContainer = media_types.VideoContainer
    VideoComponents = media_types.VideoComponents
    MESH = media_types.MESH
    VOXEL = media_types.VOXEL
    File3D = media_types.File3D
    SVG = media_types.SVG
