"""The condition of Lotus, which estimates depth and normals (He et al. 2024, arXiv:2409.18124)."""

from __future__ import annotations

from typing import Annotated

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.sockets import Conditions
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import Out


@extra_node("nodes_lotus")("LotusConditioning", category="conditioning/lotus")
def lotus_conditioning() -> Annotated[Conditions, Out("conditioning")]:
    """Tell how the condition of Lotus is made: it is the empty prompt, as the text model of SD2 encodes it.

    Raises:
        BadInput: always. The encoded prompt is part of no published file, and a text model is no input of this node.
    """
    raise BadInput(
        "The encoded prompt that Lotus needs can't be had without a text model, and this node has no input for one.",
        type="missing_model_part",
        hint="Use CLIPTextEncode with an empty text and the CLIP of an SD2 checkpoint: the result is the same.",
    )
