"""Films that nodes give."""

from __future__ import annotations

from comfykernel_compat_comfyui.schema_nodes.video_files import VideoFromComponents, VideoFromFile

__all__ = ["VideoFromComponents", "VideoFromFile"]
