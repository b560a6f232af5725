"""The same as ``comfy_api.input_impl.video_types``."""

from __future__ import annotations

from ...input_impl.video_types import *  # noqa: F403
from ...input_impl.video_types import __all__ as __all__
