"""Nodes of Perp-Neg: a negative prompt that does not take away what the positive one asks for."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from comfykernel_core_nodes.diffusion.guidance.perpendicular import perp_neg
from comfykernel_core_nodes.diffusion.guiders import Guider, perp_neg_guider
from comfykernel_core_nodes.nodes.guidance.declarations import BareModel, OpenModel, declared
from comfykernel_core_nodes.nodes.open_sockets import OpenConditions
from comfykernel_sdk.sockets import Float, Socket

MODULE: Final = "nodes_perpneg"
CATEGORY: Final = "_for_testing"

NegativeScale: TypeAlias = Annotated[
    float, Float(default=1.0, min=0.0, max=100.0, step=0.01, tooltip="How much the negative prompt counts.")
]


@declared(MODULE, "PerpNeg", CATEGORY, "Perp-Neg (DEPRECATED by PerpNegGuider)", experimental=True, deprecated=True)
def perp_neg_node(model: OpenModel, empty_conditioning: OpenConditions, neg_scale: NegativeScale) -> BareModel:
    """Let a model's runs use of negative prompts only what does not contradict the positive one."""
    return model.with_guidance(perp_neg(empty_conditioning, neg_scale))


@declared(MODULE, "PerpNegGuider", CATEGORY, experimental=True)
def perp_neg_guider_node(
    model: OpenModel,
    positive: OpenConditions,
    negative: OpenConditions,
    empty_conditioning: OpenConditions,
    cfg: Annotated[float, Float(default=8.0, min=0.0, max=100.0, step=0.1, round=0.01)],
    neg_scale: NegativeScale,
) -> Annotated[Guider, Socket("GUIDER")]:
    """Guide by a positive prompt, and away from what in the negative one does not contradict it."""
    return perp_neg_guider(model, positive, negative, empty_conditioning, scale=cfg, negative_scale=neg_scale)
