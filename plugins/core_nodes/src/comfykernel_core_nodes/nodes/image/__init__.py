"""Nodes for images: files, sizes, colours."""
