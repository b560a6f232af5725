"""The same names as ``_ui``."""

from __future__ import annotations

from ._ui import *  # noqa: F403
from ._ui import __all__ as __all__
