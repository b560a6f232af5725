"""A small latent-diffusion checkpoint that draws coloured shapes, and the programs that train and measure it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["CHECKPOINTS"]

CHECKPOINTS = Path(__file__).parent / "checkpoints"
"""Folder with `demo.safetensors`."""
