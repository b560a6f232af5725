"""Nodes are plain functions: tests call them."""

from __future__ import annotations

import torch

from comfykernel_hello_pack.nodes import greeting, vignette


def test_greeting() -> None:
    assert greeting("Ada", "Deutsch") == "Hallo, Ada!"


def test_vignette_keeps_the_centre_and_darkens_the_corners() -> None:
    result = vignette(torch.ones(2, 5, 7, 3), 0.75)
    assert result.shape == (2, 5, 7, 3)
    assert torch.allclose(result[:, 2, 3], torch.tensor(1.0))
    assert torch.allclose(result[:, 0, 0], torch.tensor(0.25))
