"""Nodes that prepare pictures for models that fill, edit, enlarge or turn them."""
