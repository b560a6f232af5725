"""Nodes that packs subclass or patch, so that they have to be written out as classes."""
