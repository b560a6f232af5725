"""Registers the forms in which packs know models, text models, autoencoders and conditions."""

from __future__ import annotations


def install_forms() -> None:
    """Have values converted at the border."""
