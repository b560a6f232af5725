"""Nodes that merge models and save them."""
