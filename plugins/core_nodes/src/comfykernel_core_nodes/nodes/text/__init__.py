"""Nodes for texts."""

from __future__ import annotations

from . import patterns, strings, structured, text_files

MODULES = (strings, patterns, structured, text_files)
