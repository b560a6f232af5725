"""Values that nodes give."""

from __future__ import annotations

from .video_types import VideoFromComponents, VideoFromFile

__all__ = ["VideoFromComponents", "VideoFromFile"]
