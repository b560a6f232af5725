"""The same names as ``_io``."""

from __future__ import annotations

from ._io import *  # noqa: F403
from ._io import __all__ as __all__
