"""Nodes for values: primitives, choices, calculations, lists."""
