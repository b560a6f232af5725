"""Nodes by the modules in which packs look for them."""
