"""Nodes that say how predictions for conditions become one."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from comfykernel_core_nodes.diffusion.guiders import Guider as RunGuider
from comfykernel_core_nodes.diffusion.guiders import basic_guider, cfg_guider, dual_cfg_guider, dual_model_guider
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.sockets import Conditions, Guidance, Model
from comfykernel_sdk.sockets import Choice, Float, Socket

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


@_node("DualModelGuider", category=CATEGORY, display_name="Dual Model CFG Guider")
def dual_model(
    model: Model,
    positive: Conditions,
    cfg: Annotated[float, Float(default=4.0, min=0.0, max=100.0, step=0.1, round=0.01)],
    model_negative: Model | None = None,
    negative: Conditions | None = None,
) -> Guider:
    """Lead away from what another model predicts, such as an earlier or a smaller version of the first.

    Args:
        model: predicts for the positive conditions.
        cfg: how far beyond the first model's prediction; 1 is that prediction itself.
        model_negative: predicts for the negative conditions; without it the first model does both.
        negative: what the other model follows; without it, it sees the positive conditions without their text.

    Raises:
        BadInput: the two models have other latents, or other noise.
    """
    with reported():
        return dual_model_guider(model, positive, negative, negative_model=model_negative, scale=cfg)
