"""The same as ``comfy_api.input.video_types``."""

from __future__ import annotations

from ...input.video_types import *  # noqa: F403
from ...input.video_types import __all__ as __all__
