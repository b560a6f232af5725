"""Nodes for latents: making, changing, and the way from and to pixels."""

from __future__ import annotations

from . import arithmetic, empty, files, frames, joining, pixels, shapes, tiled, turning

MODULES = (pixels, shapes, arithmetic, joining, turning, empty, tiled, files, frames)
