"""Nodes that prepare pictures for models that fill, edit, enlarge or turn them."""

from __future__ import annotations

from . import film_latents, inpainting, lotus, novel_views, references, stable_cascade, upscaling

MODULES = (inpainting, references, upscaling, novel_views, stable_cascade, film_latents, lotus)
