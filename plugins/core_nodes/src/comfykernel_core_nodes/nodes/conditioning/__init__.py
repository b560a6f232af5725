"""Nodes for conditions: what a sampler follows."""
