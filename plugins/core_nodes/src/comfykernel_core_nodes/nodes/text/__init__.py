"""Nodes for texts."""

from __future__ import annotations

from . import layouts, patterns, strings, structured, text_files

MODULES = (strings, patterns, structured, layouts, text_files)
