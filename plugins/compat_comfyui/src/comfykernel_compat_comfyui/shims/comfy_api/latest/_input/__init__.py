"""The same as ``comfy_api.input``."""

from __future__ import annotations

from ...input import *  # noqa: F403
from ...input import __all__ as __all__
