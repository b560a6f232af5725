"""Settings from file, environment and flags, each value with its origin."""

from __future__ import annotations

from ._load import EffectiveSettings, load_settings
from ._schema import setting_keys

__all__ = ["EffectiveSettings", "load_settings", "setting_keys"]
