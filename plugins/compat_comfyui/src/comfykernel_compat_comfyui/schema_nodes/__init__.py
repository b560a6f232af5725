"""Nodes written with ``comfy_api``: schemas, extensions, what they show and what they ask the engine."""

from __future__ import annotations

from .definition import is_schema_node, schema_definition
from .extension import extension_nodes
from .replacements import replacements_of

__all__ = ["extension_nodes", "is_schema_node", "replacements_of", "schema_definition"]
