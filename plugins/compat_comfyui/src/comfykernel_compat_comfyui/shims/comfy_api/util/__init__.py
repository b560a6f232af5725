"""Values with methods."""

from __future__ import annotations

from comfykernel_compat_comfyui.schema_nodes.media_types import MESH, SVG, VOXEL, File3D

from .video_types import VideoCodec, VideoComponents, VideoContainer

__all__ = ["MESH", "SVG", "VOXEL", "File3D", "VideoCodec", "VideoComponents", "VideoContainer"]
