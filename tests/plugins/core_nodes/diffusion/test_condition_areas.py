"""Where and when conditions act."""

from __future__ import annotations

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.batched_inputs import join_inputs
from comfykernel_core_nodes.diffusion.condition_areas import PlacedCondition, Rectangle, place_conditions
from comfykernel_core_nodes.diffusion.conditioning import Area, Conditioning
from comfykernel_core_nodes.diffusion.guidance import Batch, GuidedDenoiser, predict_sides
from comfykernel_core_nodes.diffusion.sigmas import DiscreteLevels
from comfykernel_sdk.families import TokenSequence

LEVELS = DiscreteLevels.scaled_linear()
X = torch.zeros(1, 1, 16, 16)
SIGMA = torch.tensor(1.0)


def says(value: float, tokens: int = 1) -> Conditioning:
    """A condition whose prediction is a number."""
    return Conditioning(torch.full((1, tokens, 1), value))


class Echo:
    """A model that predicts what its tokens say."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, ...]] = []

    def __call__(self, batch: Batch) -> Tensor:
        crops = [condition.crop for condition in batch.conditions]
        tokens = join_inputs([condition.inputs for condition in batch.conditions], crops, batch.rows)["context"]
        assert isinstance(tokens, Tensor)
        self.batches.append(tuple(tokens.shape))
        return tokens.mean(dim=(1, 2)).view(-1, 1, 1, 1).expand_as(batch.x)


def placed(*sides: list[Conditioning]) -> list[list[PlacedCondition]]:
    return place_conditions(sides, LEVELS, 16, 16, lambda condition, _: {"context": TokenSequence(condition.tokens)})


def predict(*sides: list[Conditioning], sigma: Tensor = SIGMA) -> list[Tensor]:
    return predict_sides(Echo(), X, sigma, placed(*sides))


def test_both_sides_run_in_one_batch_with_repeated_context() -> None:
    model = Echo()
    positive, negative = placed([says(1.0, 154)], [says(-1.0, 77)])
    denoiser = GuidedDenoiser(model, [positive, negative], 3.0)
    assert torch.equal(denoiser(X, SIGMA), torch.full_like(X, 5.0))
    assert model.batches == [(2, 154, 1)]


def test_contexts_that_would_repeat_too_often_run_apart() -> None:
    model = Echo()
    predict_sides(model, X, SIGMA, placed([says(1.0, 77)], [says(-1.0, 76)]))
    assert model.batches == [(1, 77, 1), (1, 76, 1)]


def test_scale_one_leaves_the_negative_side_out() -> None:
    model = Echo()
    positive, negative = placed([says(1.0)], [says(-1.0)])
    denoiser = GuidedDenoiser(model, [positive, negative], 1.0)
    assert torch.equal(denoiser(X, SIGMA), torch.ones_like(X))
    assert model.batches == [(1, 1, 1)]
    assert torch.equal(denoiser.guided(X, SIGMA).uncond, -torch.ones_like(X))


def test_check_runs_before_the_model_and_may_stop_it() -> None:
    class Stopped(Exception):
        pass

    def check() -> None:
        raise Stopped

    model = Echo()
    denoiser = GuidedDenoiser(model, placed([says(1.0)], [says(-1.0)]), 1.0, check=check)
    try:
        denoiser(X, SIGMA)
    except Stopped:
        assert not model.batches
    else:
        raise AssertionError("the check was not called")


def test_conditions_in_the_same_place_are_averaged_by_strength() -> None:
    strong = says(1.0).with_changes(strength=3.0)
    (side,) = predict([strong, says(-1.0)])
    torch.testing.assert_close(side, torch.full_like(X, 0.5))


def test_area_acts_inside_and_fades_at_its_inner_edges() -> None:
    (side,) = predict([says(0.0), says(1.0).with_changes(area=Area(16, 8, 0, 8))])
    assert torch.equal(side[..., :8], torch.zeros(1, 1, 16, 8))
    assert torch.equal(side[..., 9:], torch.full((1, 1, 16, 7), 0.5))
    # The first of two fading columns has weight 1/2.
    torch.testing.assert_close(side[..., 8], torch.full((1, 1, 16), 1 / 3))


def test_area_gets_a_counterpart_with_its_strength_on_the_other_side() -> None:
    area = says(1.0).with_changes(area=Area(8, 8, 0, 0), strength=2.5)
    _, negative = placed([says(0.0), area], [says(-1.0)])
    assert [condition.area for condition in negative] == [None, Rectangle(8, 8, 0, 0)]
    assert negative[1].condition.strength == 2.5
    assert torch.equal(negative[1].condition.tokens, says(-1.0).tokens)


def test_area_beyond_the_picture_is_cut() -> None:
    ((condition,),) = placed([says(1.0).with_changes(area=Area(64, 64, 12, 10))])
    assert condition.area == Rectangle(4, 6, 12, 10)


def test_relative_area_follows_the_picture() -> None:
    ((condition,),) = placed([says(1.0).with_changes(area=Area(0.5, 0.25, 0.5, 0.25, relative=True))])
    assert condition.area == Rectangle(8, 4, 8, 4)


def test_place_without_any_condition_is_zero() -> None:
    (side,) = predict([says(1.0).with_changes(area=Area(8, 16, 0, 0))])
    assert torch.equal(side[:, :, 8:], torch.zeros(1, 1, 8, 16))
    assert torch.equal(side[:, :, :8], torch.ones(1, 1, 8, 16))


def test_mask_weights_place_by_place() -> None:
    mask = torch.zeros(1, 32, 32)
    mask[:, :, 16:] = 1.0
    (side,) = predict([says(0.0), says(1.0).with_changes(mask=mask, mask_strength=0.25)])
    assert float(side[0, 0, 8, 2]) == 0.0
    assert float(side[0, 0, 8, 13]) == torch.tensor(0.25 / 1.25)


def test_mask_bounds_become_the_area() -> None:
    mask = torch.zeros(1, 16, 16)
    mask[:, 2:14, 3:5] = 1.0
    ((condition,),) = placed([says(1.0).with_changes(mask=mask, mask_bounds=True)])
    assert condition.area == Rectangle(12, 8, 2, 3)
    ((empty,),) = placed([says(1.0).with_changes(mask=mask * 0, mask_bounds=True)])
    assert empty.area == Rectangle(8, 8, 0, 0)


def test_range_turns_a_condition_off() -> None:
    early = says(1.0).with_changes(start_percent=0.0, end_percent=0.5)
    late = says(2.0).with_changes(start_percent=0.5, end_percent=1.0)
    values = [float(predict([early, late], sigma=torch.tensor(s))[0].mean()) for s in (14.6, 5.0, 1.0, 0.03)]
    assert values == [1.0, 1.0, 2.0, 2.0]
    (nothing,) = predict([early], sigma=torch.tensor(0.1))
    assert torch.equal(nothing, torch.zeros_like(X))
