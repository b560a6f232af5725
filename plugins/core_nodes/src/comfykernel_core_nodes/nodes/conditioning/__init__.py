"""Nodes for conditions: what a sampler follows."""

from __future__ import annotations

from . import areas, files, mixing, prompts, texts_of_families, texts_of_parts

MODULES = (prompts, areas, mixing, texts_of_parts, texts_of_families, files)
