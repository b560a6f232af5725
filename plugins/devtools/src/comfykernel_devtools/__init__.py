"""Tools for authors of node packs: make a pack, check a pack, see changes without a new server."""
