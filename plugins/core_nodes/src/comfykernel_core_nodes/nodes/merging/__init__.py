"""Nodes that merge models and save them."""

from __future__ import annotations

from . import loras, saving, whole_models

MODULES = (whole_models, saving, loras)
