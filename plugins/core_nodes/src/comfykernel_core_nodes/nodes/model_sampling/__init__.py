"""Nodes that change how a model is sampled: noise levels, what its output means, and its precision."""

from __future__ import annotations

from . import flows, parametrisations, precision

MODULES = (parametrisations, flows, precision)
