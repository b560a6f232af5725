"""Nodes that change how a positive and a negative prediction become one."""

from __future__ import annotations

from typing import Annotated, Final

from comfykernel_core_nodes.diffusion.guidance.frequencies import scale_frequencies
from comfykernel_core_nodes.diffusion.guidance.projections import (
    adaptive_projected_guidance,
    cfg_zero_star,
    mahiro,
    tangential_damping,
)
from comfykernel_core_nodes.diffusion.guidance.rescaling import (
    cfg_norm,
    renorm_cfg,
    rescale_cfg,
    rescale_score,
    scale_epsilon,
)
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.guidance.declarations import BareModel, OpenModel, PatchedModel, declared
from comfykernel_sdk.sockets import Float, Int

GUIDANCE: Final = "advanced/guidance"
TESTING: Final = "_for_testing"
MAHIRO_TITLE: Final = "Mahiro is so cute that she deserves a better guidance function!! (。・ω・。)"


@extra_node("nodes_model_advanced")("RescaleCFG", category="advanced/model", display_name="RescaleCFG")
def rescale_cfg_node(
    model: BareModel, multiplier: Annotated[float, Float(default=0.7, min=0.0, max=1.0, step=0.01)]
) -> BareModel:
    """Bring guided predictions back to the contrast of the positive one, against overexposed pictures."""
    return model.with_guidance(rescale_cfg(multiplier))


@declared("nodes_lumina2", "RenormCFG", "advanced/model")
def renorm_cfg_node(
    model: OpenModel,
    cfg_trunc: Annotated[float, Float(default=100, min=0.0, max=100.0, step=0.01)],
    renorm_cfg: Annotated[float, Float(default=1.0, min=0.0, max=100.0, step=0.01)],
) -> BareModel:
    """Guide as Lumina 2 does: not at all at high noise levels, and below with a bounded length."""
    return model.with_guidance(renormed(cfg_trunc, renorm_cfg))


renormed = renorm_cfg


@declared("nodes_cfg", "CFGNorm", GUIDANCE, experimental=True)
def cfg_norm_node(
    model: OpenModel, strength: Annotated[float, Float(default=1.0, min=0.0, max=100.0, step=0.01)]
) -> PatchedModel:
    """Keep guided predictions at every place at most as strong as the positive one."""
    return model.with_guidance(cfg_norm(strength))


@declared("nodes_cfg", "CFGZeroStar", GUIDANCE)
def cfg_zero_star_node(model: OpenModel) -> PatchedModel:
    """Scale the negative prediction so that it fits the positive one best before guiding away from it."""
    return model.with_guidance(cfg_zero_star())


@declared("nodes_tcfg", "TCFG", GUIDANCE, "Tangential Damping CFG")
def tangential_damping_node(model: OpenModel) -> PatchedModel:
    """Keep of the negative prediction only what points where both predictions point."""
    return model.with_guidance(tangential_damping())


@declared("nodes_apg", "APG", "sampling/custom_sampling", "Adaptive Projected Guidance")
def adaptive_projected_guidance_node(
    model: OpenModel,
    eta: Annotated[
        float,
        Float(default=1.0, min=-10.0, max=10.0, step=0.01, tooltip="How much of the parallel part is kept."),
    ],
    norm_threshold: Annotated[
        float, Float(default=5.0, min=0.0, max=50.0, step=0.1, tooltip="Longest guidance; 0 does not limit it.")
    ],
    momentum: Annotated[
        float,
        Float(default=0.0, min=-5.0, max=1.0, step=0.01, tooltip="Weight of former steps; 0 forgets them."),
    ],
) -> BareModel:
    """Weaken the part of the guidance that only saturates, so that high scales stay usable."""
    return model.with_guidance(adaptive_projected_guidance(eta, norm_threshold, momentum))


@declared("nodes_mahiro", "Mahiro", TESTING, MAHIRO_TITLE, experimental=True)
def mahiro_node(model: OpenModel) -> PatchedModel:
    """Follow the direction of the positive prediction more where the negative one has little to say."""
    return model.with_guidance(mahiro())


@declared("nodes_fresca", "FreSca", TESTING, "FreSca", experimental=True)
def scale_frequencies_node(
    model: OpenModel,
    scale_low: Annotated[float, Float(default=1.0, min=0, max=10, step=0.01, tooltip="Factor for coarse structure.")],
    scale_high: Annotated[float, Float(default=1.25, min=0, max=10, step=0.01, tooltip="Factor for fine structure.")],
    freq_cutoff: Annotated[
        int, Int(default=20, min=1, max=10000, step=1, tooltip="Up to which frequency structure counts as coarse.")
    ],
) -> BareModel:
    """Scale coarse and fine structure of the guidance apart from each other."""
    return model.with_guidance(scale_frequencies(scale_low, scale_high, freq_cutoff))


@declared("nodes_eps", "Epsilon Scaling", "model_patches/unet")
def epsilon_scaling_node(
    model: OpenModel,
    scaling_factor: Annotated[float, Float(default=1.005, min=0.5, max=1.5, step=0.001, display="number")],
) -> BareModel:
    """Divide the predicted noise by a factor, against the drift between training and sampling."""
    return model.with_guidance(scale_epsilon(scaling_factor))


@declared("nodes_eps", "TemporalScoreRescaling", "model_patches/unet", "TSR - Temporal Score Rescaling")
def temporal_score_rescaling_node(
    model: OpenModel,
    tsr_k: Annotated[
        float,
        Float(
            default=0.95,
            min=0.01,
            max=100.0,
            step=0.001,
            display="number",
            tooltip="Below 1 results have more detail, above 1 they are smoother; 1 changes nothing.",
        ),
    ],
    tsr_sigma: Annotated[
        float,
        Float(
            default=1.0,
            min=0.01,
            max=100.0,
            step=0.001,
            display="number",
            tooltip="How early it acts; larger values are earlier.",
        ),
    ],
) -> PatchedModel:
    """Rescale predictions step by step, for more or less variation."""
    return model.with_guidance(rescale_score(tsr_k, tsr_sigma))
