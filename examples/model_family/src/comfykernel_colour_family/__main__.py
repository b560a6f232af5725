"""Writes the family's checkpoint: ``python -m comfykernel_colour_family FILE``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from .architecture import TEXT_PREFIX, WIDTH, WORDS

COLOURS = {
    "black": (-1, -1, -1), "red": (1, -1, -1), "green": (-1, 1, -1), "blue": (-1, -1, 1),
    "yellow": (1, 1, -1), "cyan": (-1, 1, 1), "magenta": (1, -1, 1), "white": (1, 1, 1),
}  # fmt: skip


def write_checkpoint(path: Path) -> None:
    """Write a checkpoint in which words are numbers of no meaning, which the network's layer turns into colours."""
    words = torch.randn(len(WORDS), WIDTH, generator=torch.Generator().manual_seed(0))
    colours = torch.tensor([COLOURS[word] for word in WORDS], dtype=torch.float32)
    # Colours lie in three dimensions: rows of numbers that a layer can turn into all of them exactly.
    to_colour = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(1))
    words = words + (colours - words @ to_colour.T) @ torch.linalg.pinv(to_colour).T
    tensors = {
        f"{TEXT_PREFIX}words.weight": words,
        "model.diffusion_model.to_colour.weight": to_colour,
        "model.diffusion_model.to_colour.bias": torch.zeros(3),
    }
    save_file(tensors, path)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m comfykernel_colour_family FILE")
    write_checkpoint(Path(sys.argv[1]))
