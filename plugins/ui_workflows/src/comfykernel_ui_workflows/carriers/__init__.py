"""Workflows inside pictures, sounds, videos and model files: found without decoding what else is in them."""

from __future__ import annotations

from ._find import read_carried

__all__ = ["read_carried"]
