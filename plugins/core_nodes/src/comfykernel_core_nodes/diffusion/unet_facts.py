"""What can be seen of a UNet in the shapes of its tensors."""

from __future__ import annotations

from typing import Final

from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.errors import DiffusionError

FIRST_CONVOLUTION: Final = "input_blocks.0.0.weight"


class NotAUNet(DiffusionError):
    """Raised when a method for UNets is asked of another network."""

    type = "wrong_model"


def unet_channels(model: DiffusionModel, method: str) -> int:
    """Channels of a UNet's first block; raises `NotAUNet`, with the method that wants it, for other networks."""
    shape = model.weights.source.shapes.get(FIRST_CONVOLUTION)
    if shape is None:
        raise NotAUNet(
            f"{method} works on UNets (SD1, SD2, SDXL); this model is of the family {model.family or 'unknown'!r}.",
            "Leave the node out for this model.",
        )
    return shape[0]
