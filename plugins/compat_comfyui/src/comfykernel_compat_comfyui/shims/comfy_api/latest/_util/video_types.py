"""The same as ``comfy_api.util.video_types``."""

from __future__ import annotations

from ...util.video_types import *  # noqa: F403
from ...util.video_types import __all__ as __all__
