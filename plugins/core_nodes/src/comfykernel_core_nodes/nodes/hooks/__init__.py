"""Nodes for hooks: patches of weights that hold for single conditions, with strengths over the run."""

from __future__ import annotations

from . import conditions, creation, scheduling

MODULES = (creation, scheduling, conditions)
