"""The same as ``comfy_api.util``."""

from __future__ import annotations

from ...util import *  # noqa: F403
from ...util import __all__ as __all__
