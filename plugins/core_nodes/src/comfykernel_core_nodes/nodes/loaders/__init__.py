"""Nodes that load model files."""

from __future__ import annotations

from . import checkpoint_forms, checkpoints, parts

MODULES = (checkpoints, checkpoint_forms, parts)
