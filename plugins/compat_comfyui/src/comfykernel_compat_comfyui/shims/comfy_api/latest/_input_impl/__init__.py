"""The same as ``comfy_api.input_impl``."""

from __future__ import annotations

from ...input_impl import *  # noqa: F403
from ...input_impl import __all__ as __all__
