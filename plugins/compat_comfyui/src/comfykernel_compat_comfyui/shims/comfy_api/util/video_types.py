"""Films in pieces, and in which form they are written."""

from __future__ import annotations

from comfykernel_compat_comfyui.schema_nodes.media_types import VideoCodec, VideoComponents, VideoContainer

__all__ = ["VideoCodec", "VideoComponents", "VideoContainer"]
