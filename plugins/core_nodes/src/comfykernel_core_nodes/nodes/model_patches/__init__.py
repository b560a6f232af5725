"""Nodes that change what happens inside a network."""
