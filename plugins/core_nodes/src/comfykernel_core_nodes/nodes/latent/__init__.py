"""Nodes for latents: making, changing, and the way from and to pixels."""
