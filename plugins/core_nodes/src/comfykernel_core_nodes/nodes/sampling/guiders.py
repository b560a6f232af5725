"""Nodes that say how predictions for conditions become one."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from comfykernel_core_nodes.diffusion.guiders import Guider as RunGuider
from comfykernel_core_nodes.diffusion.guiders import basic_guider, cfg_guider, dual_cfg_guider
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.sockets import Conditions, Guidance, Model
from comfykernel_sdk.sockets import Choice, Socket

CATEGORY = "sampling/custom_sampling/guiders"

Guider: TypeAlias = Annotated[RunGuider, Socket("GUIDER")]

_node = extra_node("nodes_custom_sampler")


@_node("BasicGuider", category=CATEGORY, display_name="BasicGuider")
def basic(model: Model, conditioning: Conditions) -> Guider:
    """Follow the conditions as they are, as distilled models want it."""
    return basic_guider(model, conditioning)


@_node("CFGGuider", category=CATEGORY, display_name="CFGGuider")
def cfg(model: Model, positive: Conditions, negative: Conditions, cfg: Guidance) -> Guider:
    """Lead from the negative conditions to the positive ones and beyond."""
    return cfg_guider(model, positive, negative, cfg)


@_node("DualCFGGuider", category=CATEGORY, display_name="DualCFGGuider")
def dual_cfg(
    model: Model,
    cond1: Conditions,
    cond2: Conditions,
    negative: Conditions,
    cfg_conds: Guidance,
    cfg_cond2_negative: Guidance,
    style: Annotated[str, Choice("regular", "nested", bare=True)],
) -> Guider:
    """Two conditions with a strength each, such as a text and a picture to edit."""
    return dual_cfg_guider(
        model,
        cond1,
        cond2,
        negative,
        first_scale=cfg_conds,
        second_scale=cfg_cond2_negative,
        nested=style == "nested",
    )
