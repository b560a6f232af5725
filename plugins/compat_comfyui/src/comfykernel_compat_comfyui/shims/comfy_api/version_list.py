"""The versions of the interface."""

from __future__ import annotations

from .v0_0_2 import ComfyAPI as ComfyAPIVersion

supported_versions = [ComfyAPIVersion]
