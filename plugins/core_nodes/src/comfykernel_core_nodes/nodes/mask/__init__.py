"""Nodes for masks."""

from __future__ import annotations

from . import channels, compositing, editing, pasting

MODULES = (channels, compositing, pasting, editing)
