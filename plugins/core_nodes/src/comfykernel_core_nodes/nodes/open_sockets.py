"""Sockets that clients see with a table of options, empty here: the form in which a part of the nodes is declared."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from torch import Tensor

from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.control_net import ControlNet
from comfykernel_core_nodes.diffusion.text_encoding import TextEncoder
from comfykernel_core_nodes.diffusion.vision_encoding import VisionEncoder
from comfykernel_core_nodes.nodes.sockets import Codec
from comfykernel_sdk.sockets import LatentDict, Socket

OpenConditions: TypeAlias = Annotated[list[Conditioning], Socket("CONDITIONING", bare=False)]
OpenControlNet: TypeAlias = Annotated[ControlNet, Socket("CONTROL_NET", bare=False)]
OpenClip: TypeAlias = Annotated[TextEncoder | None, Socket("CLIP", bare=False)]
OpenClipVision: TypeAlias = Annotated[VisionEncoder, Socket("CLIP_VISION", bare=False)]
OpenVae: TypeAlias = Annotated[Codec | None, Socket("VAE", bare=False)]
OpenImage: TypeAlias = Annotated[Tensor, Socket("IMAGE", bare=False)]
OpenLatent: TypeAlias = Annotated[LatentDict, Socket("LATENT", bare=False)]
