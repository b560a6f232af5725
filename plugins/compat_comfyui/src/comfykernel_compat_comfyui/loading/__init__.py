"""Finds node packs, imports them, and keeps those that fail apart from the others."""
