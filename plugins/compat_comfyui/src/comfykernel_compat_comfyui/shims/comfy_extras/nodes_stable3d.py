"""Views of objects."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from comfykernel_compat_comfyui.lacking_names import node_or_missing


def camera_embeddings(elevation: float, azimuth: float) -> Tensor:
    """The angles of a camera [1, 1, 4]: elevation from the top, sine and cosine of the azimuth, 90 degrees."""
    height, turn = torch.as_tensor([elevation]), torch.as_tensor([azimuth])
    angles = [
        torch.deg2rad((90 - height) - 90),
        torch.sin(torch.deg2rad(turn)),
        torch.cos(torch.deg2rad(turn)),
        torch.full_like(height, math.pi / 2),
    ]
    return torch.stack(angles, dim=-1).unsqueeze(1)


def __getattr__(name: str) -> Any:
    """A node of comfykernel as a class."""
    return node_or_missing("comfy_extras.nodes_stable3d", name)
