"""Guidance that reaches into runs: extra passes of the network, step caches, context windows, changing masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion import latent_formats
from comfykernel_core_nodes.diffusion.condition_inputs import text_context
from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.errors import LatentShapeError
from comfykernel_core_nodes.diffusion.guidance.context_windows import FUSIONS, SCHEDULES, Windows, fused
from comfykernel_core_nodes.diffusion.guidance.masks import differential_diffusion
from comfykernel_core_nodes.diffusion.guidance.perturbed import perturbed_attention
from comfykernel_core_nodes.diffusion.guidance.self_attention import blurred, self_attention_guidance
from comfykernel_core_nodes.diffusion.guidance.step_cache import easy_cache, lazy_cache
from comfykernel_core_nodes.diffusion.guidance.windowed_calls import context_windows
from comfykernel_core_nodes.diffusion.hook_points import Point
from comfykernel_core_nodes.diffusion.model_sampling import ModelSampling
from comfykernel_core_nodes.diffusion.sampling import sample_latent
from comfykernel_core_nodes.diffusion.scaled_noise import with_noise_scale
from comfykernel_core_nodes.diffusion.unet import UNet, UNetConfig
from comfykernel_core_nodes.diffusion.weights import TensorSource, Weights

NamedTensor = Callable[[str, tuple[int, ...]], Tensor]


@pytest.fixture(scope="module")
def model(weight: NamedTensor) -> DiffusionModel:
    config = UNetConfig(
        model_channels=32, num_res_blocks=(1, 1), channel_mult=(1, 2), transformer_depth=(1, 1),
        transformer_depth_output=(1, 1, 1, 1), context_dim=64,
    )  # fmt: skip
    with torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in UNet(config).state_dict().items()}
    tensors = {name: weight(name, shape) for name, shape in shapes.items()}
    weights = Weights(lambda: UNet(config), TensorSource(lambda: tensors, shapes), "a test")
    return DiffusionModel(weights, ModelSampling.epsilon(), latent_formats.SD1, text_context)


def run(model: DiffusionModel, data: NamedTensor, *guidance: Any, batch: int = 1, **changes: Any) -> Tensor:
    settings: dict[str, Any] = {
        "positive": [Conditioning(data("cond/pos", (1, 7, 64)))],
        "negative": [Conditioning(data("cond/neg", (1, 7, 64)))],
        "latent": torch.zeros(batch, 4, 8, 8),
        "seed": 1,
        "steps": 4,
        "cfg": 3.0,
        "sampler": "euler",
        "scheduler": "normal",
    }
    return sample_latent(model.with_guidance(*guidance), **(settings | changes))


def counted(model: DiffusionModel) -> tuple[DiffusionModel, list[int]]:
    """A model that notes how many rows each pass of its network has."""
    rows: list[int] = []

    def note(q: Tensor, k: Tensor, v: Tensor, site: Any) -> tuple[Tensor, Tensor, Tensor]:
        if site.block == "middle":
            rows.append(len(q))
        return q, k, v

    return model.with_hook(Point.SELF_INPUTS, note), rows


def test_perturbed_attention_takes_one_more_pass_unless_its_scale_is_zero(
    model: DiffusionModel, data: NamedTensor
) -> None:
    plain = run(model, data)
    watched, rows = counted(model)
    assert torch.equal(run(watched, data, perturbed_attention(0.0)), plain)
    assert rows == [2] * 4
    assert not torch.allclose(run(watched, data, perturbed_attention(2.0)), plain)
    assert rows == [2] * 4 + [2, 1] * 4


def test_self_attention_guidance_needs_the_negative_side_and_room_for_its_blur(
    model: DiffusionModel, data: NamedTensor
) -> None:
    watched, rows = counted(model)
    run(watched, data, self_attention_guidance(0.5, 2.0), cfg=1.0)
    assert rows == [2, 1] * 4
    small = torch.zeros(1, 4, 4, 4)
    torch.testing.assert_close(
        run(model, data, self_attention_guidance(0.5, 2.0), latent=small), run(model, data, latent=small)
    )


def test_blur_keeps_flat_maps_and_a_deviation_of_zero_keeps_all() -> None:
    torch.testing.assert_close(blurred(torch.ones(1, 2, 8, 8), 9, 2.0), torch.ones(1, 2, 8, 8))
    maps = torch.rand(1, 2, 8, 8)
    assert torch.equal(blurred(maps, 9, 0.0), maps)


@pytest.mark.parametrize("cache", [easy_cache, lazy_cache])
def test_caches_leave_out_steps_inside_their_range_only(
    model: DiffusionModel, data: NamedTensor, cache: Callable[..., Any]
) -> None:
    plain = run(model, data, steps=8)
    watched, rows = counted(model)
    assert torch.equal(run(watched, data, cache(0.0, 0.0, 1.0), steps=8), plain)
    assert rows == [2] * 8
    rows.clear()
    assert torch.equal(run(watched, data, cache(3.0, 0.0, 0.0), steps=8), plain)
    rows.clear()
    saved = run(watched, data, cache(3.0, 0.0, 1.0), steps=8)
    assert 2 <= len(rows) < 8
    assert torch.equal(run(model, data, cache(3.0, 0.0, 1.0), steps=8), saved)


def test_a_cache_goes_on_with_samplers_that_need_the_negative_prediction(
    model: DiffusionModel, data: NamedTensor
) -> None:
    for cache in (easy_cache, lazy_cache):
        result = run(model, data, cache(3.0, 0.0, 1.0), sampler="euler_cfg_pp", cfg=1.0, steps=6)
        assert bool(torch.isfinite(result).all())


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_windows_over_a_batch_change_nothing_for_models_of_single_pictures(
    model: DiffusionModel, data: NamedTensor, schedule: str, fusion: str
) -> None:
    mask = torch.linspace(0.2, 1.0, 5).view(5, 1, 1).expand(5, 8, 8)
    tokens = data("cond/five", (5, 7, 64))
    positive = [Conditioning(tokens, mask=mask), Conditioning(data("cond/pos", (1, 7, 64)))]
    plain = run(model, data, batch=5, positive=positive, steps=2)
    windows = context_windows(Windows(3, 1), schedule=schedule, fusion=fusion)
    watched, rows = counted(model)
    result = run(watched, data, windows, batch=5, positive=positive, steps=2)
    torch.testing.assert_close(result, plain, rtol=1e-3, atol=1e-2)
    assert max(rows) == 9


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("count", [9, 16, 33])
def test_windows_cover_every_place_at_every_step(schedule: str, count: int) -> None:
    how = Windows(8, 3, 2, closed=True)
    for step in range(6):
        windows = SCHEDULES[schedule](count, step, how)
        assert {place for window in windows for place in window} == set(range(count))
        assert all(0 <= place < count for window in windows for place in window)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_fused_windows_of_equal_values_are_these_values(fusion: str) -> None:
    windows = SCHEDULES["standard_static"](10, 0, Windows(4, 2))
    weights = [FUSIONS[fusion](window, 10, 2) for window in windows]
    whole = torch.rand(2, 3, 10)
    parts = [whole[..., window] for window in windows]
    torch.testing.assert_close(fused(parts, windows, weights, whole, 2), whole)


def test_windows_say_what_they_cannot_do(model: DiffusionModel, data: NamedTensor) -> None:
    with pytest.raises(LatentShapeError, match="cannot overlap by 4"):
        context_windows(Windows(4, 4))
    with pytest.raises(LatentShapeError, match="dimension 4"):
        run(model, data, context_windows(Windows(4), dim=4))
    wide = run(model, data, context_windows(Windows(8, 4), dim=3), latent=torch.zeros(1, 4, 8, 16))
    assert wide.shape == (1, 4, 8, 16)


def test_differential_diffusion_goes_from_the_soft_mask_to_hard_ones(model: DiffusionModel, data: NamedTensor) -> None:
    changes = {"latent": data("lat", (1, 4, 8, 8)), "noise_mask": torch.linspace(0, 1, 8).expand(8, 8)}
    soft = run(model, data, **changes)
    torch.testing.assert_close(run(model, data, differential_diffusion(0.0), **changes), soft)
    hard = run(model, data, differential_diffusion(1.0), **changes)
    assert not torch.allclose(hard, soft)
    moved = (hard - changes["latent"]).abs().mean(dim=(0, 1, 2))
    assert float(moved[0]) < float(moved[-1]) / 4


def test_guidance_of_a_model_leaves_the_model_alone(model: DiffusionModel, data: NamedTensor) -> None:
    before = run(model, data)
    run(model, data, perturbed_attention(2.0), easy_cache(3.0, 0.0, 1.0))
    assert torch.equal(run(model, data), before)


def test_noise_of_another_deviation_replaces_the_one_before(model: DiffusionModel, data: NamedTensor) -> None:
    plain = run(model, data)
    assert not torch.allclose(run(with_noise_scale(model, 2.0), data), plain)
    assert torch.equal(run(with_noise_scale(with_noise_scale(model, 2.0), 1.0), data), plain)
