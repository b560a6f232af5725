"""Films that nodes take."""

from __future__ import annotations

from comfykernel_compat_comfyui.schema_nodes.media_types import VideoInput

__all__ = ["VideoInput"]
