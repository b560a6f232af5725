"""Nodes that look at pictures: image encoders, style models, identities."""
