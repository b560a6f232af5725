"""Nodes for masks."""
