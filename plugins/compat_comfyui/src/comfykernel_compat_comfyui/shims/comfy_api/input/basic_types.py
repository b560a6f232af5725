"""Values of pictures, masks, sounds and latents, for annotations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfykernel_compat_comfyui.schema_nodes.media_types import AudioInput, LatentInput

if TYPE_CHECKING:
    from torch import Tensor
else:
    Tensor = Any

ImageInput = Tensor
MaskInput = Tensor

__all__ = ["AudioInput", "ImageInput", "LatentInput", "MaskInput"]
