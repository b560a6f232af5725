"""Nodes that change what happens inside a network."""

from __future__ import annotations

from . import attention, chroma_radiance, compilation, hypernetworks, positions, unet_features

MODULES = (hypernetworks, unet_features, attention, compilation, positions, chroma_radiance)
