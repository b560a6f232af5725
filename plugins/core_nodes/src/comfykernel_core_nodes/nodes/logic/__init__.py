"""Nodes for values: primitives, choices, calculations, lists."""

from __future__ import annotations

from . import cameras, choices, lists, loops, math_expression, preview, primitives

MODULES = (primitives, preview, choices, lists, math_expression, cameras, loops)
