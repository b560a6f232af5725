"""Nodes that change how the predictions of a run are guided, and leave out steps."""

from __future__ import annotations

from . import combining, noise_scale, operations, perpendicular, scales, soft_masks, step_caches, weakened, windows

MODULES = (combining, scales, perpendicular, weakened, soft_masks, step_caches, windows, operations, noise_scale)
