"""Blank latents of families: shapes by the sides of the picture and the frames of the film."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from comfykernel_sdk.errors import BadInput


@pytest.mark.parametrize(
    ("id", "inputs", "shape"),
    [
        ("EmptySD3LatentImage", {"width": 1040, "height": 512}, (2, 16, 64, 130)),
        ("EmptyHunyuanImageLatent", {"width": 96, "height": 64}, (2, 64, 2, 3)),
        ("EmptyChromaRadianceLatentImage", {"width": 32, "height": 16}, (2, 3, 16, 32)),
        ("EmptyFlux2LatentImage", {"width": 64, "height": 32}, (2, 128, 2, 4)),
        ("EmptyHiDreamO1LatentImage", {"width": 96, "height": 64}, (2, 3, 64, 96)),
        ("EmptyQwenImageLayeredLatentImage", {"width": 64, "height": 32, "layers": 3}, (2, 16, 4, 4, 8)),
        ("EmptyHunyuanLatentVideo", {"width": 64, "height": 32, "length": 25}, (2, 16, 7, 4, 8)),
        ("EmptyHunyuanVideo15Latent", {"width": 64, "height": 32, "length": 24}, (2, 32, 6, 2, 4)),
        ("EmptyLTXVLatentVideo", {"width": 96, "height": 64, "length": 97}, (2, 128, 13, 2, 3)),
        ("EmptyMochiLatentVideo", {"width": 64, "height": 32, "length": 25}, (2, 12, 5, 4, 8)),
        ("EmptyCosmosLatentVideo", {"width": 64, "height": 32, "length": 1}, (2, 16, 1, 4, 8)),
    ],
)
def test_shapes(node_run: Callable[..., Any], id: str, inputs: dict[str, int], shape: tuple[int, ...]) -> None:
    latent = node_run().node(id, **inputs, batch_size=2)
    assert tuple(latent["samples"].shape) == shape
    assert not latent["samples"].any()


def test_trim_video_latent(node_run: Callable[..., Any]) -> None:
    film = {"samples": torch.arange(4.0).view(1, 1, 4, 1, 1), "batch_index": [3]}
    trimmed = node_run().node("TrimVideoLatent", samples=film, trim_amount=3)
    assert trimmed["samples"].flatten().tolist() == [3.0]
    assert trimmed["batch_index"] == [3]
    with pytest.raises(BadInput, match="latents of films"):
        node_run().node("TrimVideoLatent", samples={"samples": torch.zeros(1, 4, 8, 8)}, trim_amount=1)
