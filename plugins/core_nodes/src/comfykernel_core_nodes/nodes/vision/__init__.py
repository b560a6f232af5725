"""Nodes that look at pictures: image encoders, style models, identities."""

from __future__ import annotations

from . import encoders, photo_maker, styles

MODULES = (encoders, styles, photo_maker)
