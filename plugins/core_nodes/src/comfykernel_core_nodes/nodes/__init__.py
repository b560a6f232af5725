"""Nodes: thin typed functions over the diffusion library."""
