"""Control networks."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Any

from torch import Tensor

from comfykernel_compat_comfyui.diffusion_bridge import library
from comfykernel_compat_comfyui.diffusion_bridge.control_face import ControlBase, ControlNet, control_of
from comfykernel_compat_comfyui.lacking_names import lacking_class, lacking_function
from comfykernel_compat_comfyui.shims.comfy.utils import repeat_to_batch_size

__all__ = ["ControlBase", "ControlNet", "StrengthType", "broadcast_image_to", "load_controlnet"]


class StrengthType(Enum):
    """How the strength of a control network counts."""

    CONSTANT = 1
    LINEAR_UP = 2


def broadcast_image_to(tensor: Tensor, target_batch_size: int, batched_number: int) -> Tensor:
    """A hint for a batch of conditions, each with as many rows."""
    if tensor.shape[0] == 1:
        return tensor
    rows = target_batch_size // max(1, batched_number)
    return repeat_to_batch_size(tensor[:rows], rows).repeat(batched_number, *[1] * (tensor.ndim - 1))


def load_controlnet(ckpt_path: str, model: Any = None, model_options: Any = None) -> ControlNet:
    """A control network or adapter; a file of differences is added to the weights of the model."""
    return control_of(library.load_control_net(Path(ckpt_path), None if model is None else model.handle))


ControlNetSD35 = type("ControlNetSD35", (ControlNet,), {})
ControlLora = type("ControlLora", (ControlNet,), {})
QwenFunControlNet = type("QwenFunControlNet", (ControlNet,), {})
T2IAdapter = type("T2IAdapter", (ControlNet,), {})
ControlLoraOps = lacking_class("comfy.controlnet.ControlLoraOps")
load_t2i_adapter = lacking_function("comfy.controlnet.load_t2i_adapter")
controlnet_config = lacking_function("comfy.controlnet.controlnet_config")
