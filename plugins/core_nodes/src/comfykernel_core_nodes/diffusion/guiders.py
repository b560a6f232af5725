"""Guiders: a model, named sides of conditions, and how their predictions become one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor

from comfykernel_core_nodes.diffusion.conditioning import Conditions
from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.errors import IncompatibleModels
from comfykernel_core_nodes.diffusion.guidance import Guide, GuidedCall, Side, classifier_free
from comfykernel_core_nodes.diffusion.guidance.perpendicular import perpendicular
from comfykernel_core_nodes.diffusion.memory import ModelMemory
from comfykernel_core_nodes.diffusion.samplers.contract import Guided, Sampler
from comfykernel_core_nodes.diffusion.sampling import Check, RunCallback, sample_guided


@dataclass(frozen=True, slots=True, eq=False)
class Guider:
    """Everything about a run but its noise, its latent and its steps."""

    model: DiffusionModel
    sides: Mapping[str, Conditions]
    """by name, the positive one first"""
    guide: Guide = classifier_free
    scale: float = 1.0

    def sample(
        self,
        noise: Tensor,
        latent: Tensor,
        sampler: Sampler,
        sigmas: Tensor,
        *,
        mask: Tensor | None = None,
        seed: int = 0,
        fresh_mask_noise: bool = False,
        callback: RunCallback | None = None,
        check: Check | None = None,
        memory: ModelMemory | None = None,
    ) -> Tensor:
        """Run a sampler over noise levels; returns the new latent, float32 on the CPU.

        Parameters:
            noise: of the latent's shape; zeros for a latent that is noisy already.
            latent: [batch, channel, height, width] in the autoencoder's scale.
            sigmas: decreasing noise levels [steps + 1]; fewer than two give the latent back.
            mask: [height, width] or [batch, ..., height, width] of any size, 1 where the latent may change.
            seed: of the noise that the sampler adds.
            fresh_mask_noise: keep what is outside of the mask at other noise than the start noise.
        Raises `LatentShapeError`, `CheckpointError` for weights that are not finite, and whatever `callback` or
        `check` raise.
        """
        return sample_guided(
            self.model,
            list(self.sides.values()),
            self.guide,
            scale=self.scale,
            noise=noise,
            sampler=sampler,
            sigmas=sigmas,
            latent=latent,
            seed=seed,
            noise_mask=mask,
            fresh_mask_noise=fresh_mask_noise,
            callback=callback,
            check=check,
            memory=memory,
        )


def basic_guider(model: DiffusionModel, conditions: Conditions) -> Guider:
    """One side alone, without guidance."""
    return Guider(model, {"positive": conditions})


def cfg_guider(model: DiffusionModel, positive: Conditions, negative: Conditions, scale: float) -> Guider:
    """Classifier-free guidance."""
    return Guider(model, {"positive": positive, "negative": negative}, scale=scale)


def dual_model_guider(
    model: DiffusionModel,
    positive: Conditions,
    negative: Conditions | None = None,
    *,
    negative_model: DiffusionModel | None = None,
    scale: float,
) -> Guider:
    """Classifier-free guidance away from what another model predicts, such as a worse version of the first.

    As in autoguidance (Karras et al. 2024, arXiv:2406.02507, eq. 3). Without negative conditions, that model sees the
    positive ones without their text. Guidance that the first model carries acts; what the other carries does not.

    Raises `IncompatibleModels` where the latents or the noise of the models differ.
    """
    other = negative_model or model
    _check_same_latents(model, other)
    sides = [each.without_text() for each in positive] if negative is None else negative
    if other is not model:
        sides = [each.with_changes(model=other) for each in sides]
    return Guider(model, {"positive": positive, "negative": sides}, scale=scale)


def _check_same_latents(model: DiffusionModel, other: DiffusionModel) -> None:
    forms = [(f.channels, f.dimensions, f.scale) for f in (model.latent_format, other.latent_format)]
    if forms[0] != forms[1]:
        found = " and ".join(f"{channels} channels in the scale {scale:g}" for channels, _, scale in forms)
        raise IncompatibleModels(
            f"The models predict different latents: {found}.",
            "Both must be of one family, so that their latents mean the same.",
        )
    paths = [type(each.sampling.path).__name__ for each in (model, other)]
    if paths[0] != paths[1]:
        raise IncompatibleModels(
            f"Noise means something else to the two models: {paths[0]} and {paths[1]}.",
            "Give both models the same kind of sampling, such as with ModelSamplingDiscrete.",
        )


def dual_cfg_guider(
    model: DiffusionModel,
    first: Conditions,
    second: Conditions,
    negative: Conditions,
    *,
    first_scale: float,
    second_scale: float,
    nested: bool = False,
) -> Guider:
    """Two conditions with a scale each, as in InstructPix2Pix (Brooks et al. 2022, arXiv:2211.09800, eq. 3).

    `first_scale` leads from the second side to the first, `second_scale` from the negative side onward. Nested, the
    whole of the first guidance is one prediction for the second.
    """
    sides = {"positive": first, "middle": second, "negative": negative}
    return Guider(model, sides, partial(_nested if nested else _dual, second_scale), first_scale)


def perp_neg_guider(
    model: DiffusionModel,
    positive: Conditions,
    negative: Conditions,
    empty: Conditions,
    *,
    scale: float,
    negative_scale: float = 1.0,
) -> Guider:
    """Of the negative side only what is perpendicular to the positive one (Armandpour et al. 2023, arXiv:2304.04968).

    Both are taken relative to the prediction for the empty prompt.
    """
    sides = {"positive": positive, "negative": negative, "empty": empty}
    return Guider(model, sides, partial(_perp_neg, negative_scale), scale)


def _dual(second_scale: float, call: GuidedCall, sides: Sequence[Side]) -> Guided:
    first: Side | None
    second: Side | None
    negative: Side | None
    first, second, negative = sides
    if call.leaves_out_negative(second_scale):
        negative = None
        if call.leaves_out_negative(call.scale):
            second = None
    one, two, none = call.predict_main([first, second, negative])
    guided = call.combined(call.step(second or (), negative, two, none, second_scale))
    return Guided(guided.denoised + (one - two) * call.scale, guided.uncond)


def _nested(second_scale: float, call: GuidedCall, sides: Sequence[Side]) -> Guided:
    first, second, negative = sides
    one, two, none = call.predict_main([first, second, negative])
    inner = call.combined(call.step(first, second, one, two))
    return Guided(none + second_scale * (inner.denoised - none), inner.uncond)


def _perp_neg(negative_scale: float, call: GuidedCall, sides: Sequence[Side]) -> Guided:
    positive: Side | None
    negative: Side | None
    empty: Side | None
    positive, negative, empty = sides
    if call.leaves_out_negative(1.0) and math.isclose(negative_scale, 0.0):
        negative = None
        if call.leaves_out_negative(call.scale):
            empty = None
    cond, uncond, none = call.predict_main([positive, negative, empty])
    step = call.changed(call.step(sides[0], negative, cond, uncond))
    return call.finished(perpendicular(step, none, negative_scale), step)
