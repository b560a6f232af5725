"""Guidance by stages: formulas against their papers, neutral values, ranges, and what is computed at all."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion import guiders
from comfykernel_core_nodes.diffusion.condition_areas import PlacedCondition
from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.guidance import (
    Batch,
    Guide,
    GuidedDenoiser,
    GuidedRun,
    Side,
    Stages,
    classifier_free,
    stages_of,
)
from comfykernel_core_nodes.diffusion.guidance.frequencies import scale_frequencies, scaled_spectrum
from comfykernel_core_nodes.diffusion.guidance.perpendicular import perp_neg
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
from comfykernel_core_nodes.diffusion.guidance.scales import linear_over_frames, override_scale, triangle_over_frames
from comfykernel_core_nodes.diffusion.latent_operations import operate_on_guidance
from comfykernel_core_nodes.diffusion.model_sampling import ModelSampling

SHAPE = (2, 4, 8, 8)
X = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0)) * 3
SIGMA = torch.tensor(2.0)


def prediction(name: int) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(name))


def side(*names: int) -> Side:
    return [PlacedCondition(Conditioning(torch.tensor([[[float(name)]]]))) for name in names]


POSITIVE, NEGATIVE, EMPTY = side(1), side(2), side(3)
COND, UNCOND, NONE = prediction(1), prediction(2), prediction(3)


class Model:
    """Predicts what the conditions are named after, whatever the latent; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, ...]] = []

    def __call__(self, batch: Batch) -> Tensor:
        names = tuple(int(each.condition.tokens.item()) for each in batch.conditions)
        self.asked.append(names)
        return torch.cat([prediction(name) for name in names])


class Handle:
    """As much of a model as functions of a run look at."""

    sampling = ModelSampling.epsilon()


def a_run(sigmas: Sequence[float] = (14.0, 2.0, 0.5, 0.0)) -> GuidedRun:
    model: Any = Handle()
    return GuidedRun(model, torch.tensor(sigmas), lambda conditions: [PlacedCondition(each) for each in conditions])


def guided(
    *parts: Any, scale: float = 4.0, sides: Sequence[Side] = (POSITIVE, NEGATIVE), guide: Guide = classifier_free
) -> GuidedDenoiser:
    return GuidedDenoiser(Model(), sides, scale, guide=guide, stages=stages_of(parts, a_run()))


def plain(scale: float = 4.0) -> Tensor:
    return UNCOND + (COND - UNCOND) * scale


@pytest.mark.parametrize(
    "part",
    [
        rescale_cfg(0.0),
        renorm_cfg(100.0, 0.0),
        scale_epsilon(1.0),
        rescale_score(1.0, 2.0),
        scale_frequencies(1.0, 1.0, 3),
        operate_on_guidance(lambda latent: latent),
        override_scale(9.0, 0.9, 1.0),
    ],
)
def test_neutral_values_give_plain_guidance(part: Any) -> None:
    torch.testing.assert_close(guided(part)(X, SIGMA), plain(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "part", [mahiro(), cfg_zero_star(), tangential_damping(), scale_frequencies(0.5, 2.0, 2), rescale_cfg(0.7)]
)
def test_without_a_negative_side_the_positive_prediction_stays(part: Any) -> None:
    torch.testing.assert_close(guided(part, scale=1.0, sides=[POSITIVE])(X, SIGMA), COND, rtol=1e-4, atol=1e-4)


def test_samplers_that_need_the_negative_prediction_get_it_at_scale_one() -> None:
    denoiser = guided(scale=1.0)
    assert torch.equal(denoiser.guided(X, SIGMA).uncond, UNCOND)
    assert torch.equal(guided(scale=1.0, sides=[POSITIVE]).guided(X, SIGMA).uncond, torch.zeros(SHAPE))


def test_a_stage_that_needs_the_negative_prediction_gets_it_at_scale_one() -> None:
    seen: list[bool] = []

    def after(denoised: Tensor, step: Any) -> Tensor:
        seen.append(step.negative is not None)
        return denoised

    guided(Stages(after=(after,)), scale=1.0)(X, SIGMA)
    guided(Stages(after=(after,), needs_negative=True), scale=1.0)(X, SIGMA)
    assert seen == [False, True]


def test_stages_run_in_order_and_functions_of_a_stage_as_added() -> None:
    def times(factor: float) -> Stages:
        return Stages(after=(lambda denoised, step: denoised * factor,))

    def plus(value: float) -> Stages:
        return Stages(
            after=(lambda denoised, step: denoised + value,),
            before=(lambda step: step.predictions._replace(cond=step.cond * 0.0),),
            combine=(lambda step: step.cond + 1.0,),
        )

    result = guided(times(2.0), plus(3.0), times(10.0))(X, SIGMA)
    torch.testing.assert_close(result, torch.full(SHAPE, (1.0 * 2.0 + 3.0) * 10.0))


def test_rescaled_guidance_has_the_deviation_of_the_positive_velocity() -> None:
    sigma = float(SIGMA)

    def velocity(denoised: Tensor) -> Tensor:
        return (X / (sigma**2 + 1) - denoised) * math.sqrt(sigma**2 + 1) / sigma

    result = velocity(guided(rescale_cfg(1.0))(X, SIGMA))
    torch.testing.assert_close(result.std(dim=(1, 2, 3)), velocity(COND).std(dim=(1, 2, 3)))


def test_normed_guidance_is_nowhere_longer_than_the_positive_prediction() -> None:
    result = guided(cfg_norm(1.0))(X, SIGMA)
    assert bool((result.norm(dim=1) <= COND.norm(dim=1) + 1e-4).all())


def test_renormed_guidance_is_bounded_row_by_row_and_off_at_high_noise_levels() -> None:
    result = guided(renorm_cfg(100.0, 1.0))(X, SIGMA)
    assert bool((result.flatten(1).norm(dim=1) <= COND.flatten(1).norm(dim=1) + 1e-3).all())
    assert torch.equal(guided(renorm_cfg(1.0, 1.0))(X, SIGMA), COND)


def test_projected_guidance_without_its_options_adds_the_guidance_once_more() -> None:
    result = guided(adaptive_projected_guidance(1.0, 0.0, 0.0))(X, SIGMA)
    torch.testing.assert_close(result, COND + 4.0 * (COND - UNCOND), rtol=1e-4, atol=1e-4)


def test_projected_guidance_is_perpendicular_to_the_positive_prediction() -> None:
    update = guided(adaptive_projected_guidance(0.0, 0.0, 0.0))(X, SIGMA) - COND
    torch.testing.assert_close((update * COND).sum(dim=(1, 2, 3)), torch.zeros(2), rtol=0, atol=1e-2)
    bounded = guided(adaptive_projected_guidance(1.0, 2.0, 0.0))(X, SIGMA) - COND
    torch.testing.assert_close(bounded.flatten(1).norm(dim=1), torch.full((2,), 8.0), rtol=1e-4, atol=1e-3)


def test_momentum_is_of_one_run_and_forgets_when_noise_rises() -> None:
    part = adaptive_projected_guidance(1.0, 0.0, 0.5)
    denoiser = guided(part)
    first, second = denoiser(X, SIGMA), denoiser(X, SIGMA / 2)
    torch.testing.assert_close(second - COND, 1.5 * (first - COND), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(denoiser(X, SIGMA), first)
    torch.testing.assert_close(guided(part)(X, SIGMA), first)


def test_projected_guidance_at_scale_zero_is_the_negative_prediction() -> None:
    torch.testing.assert_close(guided(adaptive_projected_guidance(0.5, 5.0, 0.0), scale=0.0)(X, SIGMA), UNCOND)


def test_damped_negative_score_lies_along_the_main_direction() -> None:
    seen: list[Tensor] = []
    watch = Stages(before=(lambda step: seen.append(step.uncond) or step.predictions,))  # type: ignore[func-returns-value]
    guided(tangential_damping(), watch)(X, SIGMA)
    for row in range(SHAPE[0]):
        scores = torch.stack([(X - each)[row].flatten() for each in (COND, UNCOND)])
        main = torch.linalg.svd(scores, full_matrices=False).Vh[0]
        damped = (X - seen[0])[row].flatten()
        torch.testing.assert_close(damped, (scores[1] @ main) * main, rtol=1e-3, atol=1e-3)


def test_frequencies_are_scaled_apart_and_a_wide_cutoff_takes_all_for_low() -> None:
    flat = torch.ones(1, 1, 8, 8)
    torch.testing.assert_close(scaled_spectrum(flat, 0.5, 2.0, 1), flat * 0.5)
    checked = flat * (1 - 2 * ((torch.arange(8)[:, None] + torch.arange(8)) % 2))
    torch.testing.assert_close(scaled_spectrum(checked, 0.5, 2.0, 1), checked * 2.0)
    torch.testing.assert_close(scaled_spectrum(prediction(1), 0.5, 2.0, 20), prediction(1) * 0.5)


def test_score_of_smaller_variance_pulls_predictions_together() -> None:
    smoother, wilder = (guided(rescale_score(k, 1.0))(X, SIGMA) for k in (2.0, 0.5))
    alpha_free = (1.0 + 4.0) / (1.0 / 2.0 + 4.0)
    torch.testing.assert_close(X - smoother, (X - plain()) * alpha_free, rtol=1e-4, atol=1e-4)
    assert float((X - wilder).norm()) < float((X - plain()).norm())


@pytest.mark.parametrize(
    ("part", "scales"), [(linear_over_frames(1.0), (1.0, 4.0)), (triangle_over_frames(1.5), (1.5, 1.5))]
)
def test_scale_changes_over_frames(part: Stages, scales: tuple[float, float]) -> None:
    result = guided(part)(X, SIGMA)
    for row, scale in enumerate(scales):
        torch.testing.assert_close(result[row], (UNCOND + (COND - UNCOND) * scale)[row])


def test_the_last_override_counts_where_ranges_overlap() -> None:
    denoiser = guided(override_scale(2.0, 0.0, 1.0), override_scale(3.0, 0.0, 0.5))
    torch.testing.assert_close(denoiser(X, torch.tensor(14.0)), plain(3.0))
    torch.testing.assert_close(denoiser(X, torch.tensor(0.1)), plain(2.0))


def test_an_override_to_one_leaves_the_negative_side_out() -> None:
    model = Model()
    stages = stages_of([override_scale(1.0, 0.0, 1.0)], a_run())
    torch.testing.assert_close(GuidedDenoiser(model, [POSITIVE, NEGATIVE], 4.0, stages=stages)(X, SIGMA), COND)
    assert model.asked == [(1,)]


def perpendicular(scale: float, negative_scale: float) -> Tensor:
    positive, negative = COND - NONE, UNCOND - NONE
    rest = negative - (negative * positive).sum() / positive.square().sum() * positive
    return NONE + scale * (positive - negative_scale * rest)


def perp_neg_guide(negative_scale: float) -> Guide:
    model: Any = None
    return guiders.perp_neg_guider(model, [], [], [], scale=4.0, negative_scale=negative_scale).guide


def test_perpendicular_negative_as_guider_and_on_the_model() -> None:
    denoiser = guided(guide=perp_neg_guide(1.5), sides=[POSITIVE, NEGATIVE, EMPTY])
    torch.testing.assert_close(denoiser(X, SIGMA), perpendicular(4.0, 1.5))
    torch.testing.assert_close(denoiser.guided(X, SIGMA).uncond, UNCOND)
    empty = [Conditioning(torch.tensor([[[3.0]]]))]
    torch.testing.assert_close(guided(perp_neg(empty, 1.5))(X, SIGMA), perpendicular(4.0, 1.5))


def test_perpendicular_guider_leaves_out_what_plays_no_part() -> None:
    model = Model()
    sides = [POSITIVE, NEGATIVE, EMPTY]
    GuidedDenoiser(model, sides, 1.0, guide=perp_neg_guide(0.0))(X, SIGMA)
    GuidedDenoiser(model, sides, 4.0, guide=perp_neg_guide(0.0))(X, SIGMA)
    assert model.asked == [(1,), (1, 3)]


def dual_guide(second_scale: float, *, nested: bool) -> Guide:
    model: Any = None
    make: Callable[..., guiders.Guider] = partial(guiders.dual_cfg_guider, model, [], [], [], first_scale=4.0)
    return make(second_scale=second_scale, nested=nested).guide


def test_dual_guidance_adds_two_directions_or_nests_them() -> None:
    sides = [side(1), side(3), side(2)]
    regular = guided(guide=dual_guide(2.5, nested=False), sides=sides)(X, SIGMA)
    torch.testing.assert_close(regular, UNCOND + 2.5 * (NONE - UNCOND) + 4.0 * (COND - NONE), rtol=1e-4, atol=1e-4)
    nested = guided(guide=dual_guide(2.5, nested=True), sides=sides)(X, SIGMA)
    inner = NONE + 4.0 * (COND - NONE)
    torch.testing.assert_close(nested, UNCOND + 2.5 * (inner - UNCOND), rtol=1e-4, atol=1e-4)


def test_dual_guidance_leaves_out_sides_at_scale_one() -> None:
    model = Model()
    sides = [side(1), side(3), side(2)]
    guide = dual_guide(1.0, nested=False)
    torch.testing.assert_close(GuidedDenoiser(model, sides, 1.0, guide=guide)(X, SIGMA), COND)
    GuidedDenoiser(model, sides, 4.0, guide=guide)(X, SIGMA)
    assert model.asked == [(1,), (1, 3)]
