"""Noise levels: recorded values and the conversions between sigma, timestep and progress."""

from __future__ import annotations

import pytest
import torch

from comfykernel_core_nodes.diffusion.model_sampling import ModelSampling
from comfykernel_core_nodes.diffusion.noise_paths import RectifiedFlow, VarianceExploding, is_full_denoise
from comfykernel_core_nodes.diffusion.parametrisation import Clean, Consistency, Epsilon, Preconditioned, Velocity
from comfykernel_core_nodes.diffusion.sigmas import (
    AngularLevels,
    CosineLevels,
    DiscreteLevels,
    ExponentialFlowLevels,
    FlowLevels,
    LogUniformLevels,
    NoiseLevels,
    RatioLevels,
)

DISCRETE = DiscreteLevels.scaled_linear()
ALL = {
    "discrete": DISCRETE,
    "zero_terminal_snr": DiscreteLevels.scaled_linear(zero_terminal_snr=True),
    "distilled": DiscreteLevels.distilled(),
    "log_uniform": LogUniformLevels(0.002, 80.0),
    "angular": AngularLevels(0.03, 500.0),
    "ratio": RatioLevels(0.002, 80.0),
    "cosine": CosineLevels(),
    "flow": FlowLevels(3.0),
    "exponential_flow": ExponentialFlowLevels(),
}


def test_scaled_linear_levels_are_those_of_stable_diffusion() -> None:
    assert len(DISCRETE.sigmas) == 1000
    assert float(DISCRETE.sigmas[0]) == pytest.approx(0.029167158529162407, rel=1e-6)
    assert float(DISCRETE.sigmas[-1]) == pytest.approx(14.614641189575195, rel=1e-6)


def test_timesteps_are_the_nearest_in_log_sigma() -> None:
    sigmas = torch.tensor([0.0292, 0.05, 0.1, 0.3, 0.5, 1.0, 2.5, 7.0, 14.6146, 80.0])
    assert DISCRETE.timestep(sigmas).tolist() == [0, 2, 10, 81, 169, 354, 625, 866, 999, 999]
    assert DISCRETE.timestep(sigmas.view(-1, 1, 1, 1)).shape == (10, 1, 1, 1)


def test_sigma_between_timesteps_is_interpolated_in_log() -> None:
    expected = [0.029167160, 0.034713455, 0.343931228, 1.615580320, 14.614640236]
    actual = DISCRETE.sigma(torch.tensor([0.0, 0.5, 100.0, 499.5, 1000.0]))
    torch.testing.assert_close(actual, torch.tensor(expected), rtol=1e-6, atol=0)


def test_progress_maps_to_sigma() -> None:
    percents = [0.0, 0.0001, 0.25, 0.5, 0.9999, 1.0]
    expected = [999999999.9, 14.605789184570312, 4.086081027984619, 1.6155803203582764, 0.030199499800801277, 0.0]
    assert [DISCRETE.percent_to_sigma(p) for p in percents] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("levels", ALL.values(), ids=ALL.keys())
def test_every_kind_of_levels_ascends(levels: NoiseLevels) -> None:
    sigmas = levels.sigmas
    assert bool((sigmas.diff() >= 0).all())
    progress = [levels.percent_to_sigma(p / 10) for p in range(11)]
    assert progress == sorted(progress, reverse=True)


@pytest.mark.parametrize("name", sorted(ALL.keys() - {"flow", "exponential_flow"}))
def test_levels_without_a_shift_invert(name: str) -> None:
    levels = ALL[name]
    some = levels.sigmas[len(levels.sigmas) // 4 :: len(levels.sigmas) // 7][:5]
    torch.testing.assert_close(levels.sigma(levels.timestep(some)), some, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", [Epsilon(), Velocity(), Preconditioned(0.5), Clean(), Consistency()])
def test_parametrisation_keeps_shapes_and_knows_its_limit(kind: Epsilon) -> None:
    x, output = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0)), torch.zeros(2, 4, 3, 3)
    sigma = torch.full((2, 1, 1, 1), 1e-4)
    assert kind.network_input(x, sigma).shape == x.shape
    if not isinstance(kind, Clean):
        torch.testing.assert_close(kind.denoised(x, output, sigma), x, rtol=1e-3, atol=1e-3)


def test_epsilon_and_velocity_recover_what_was_mixed() -> None:
    generator = torch.Generator().manual_seed(1)
    clean, noise = (torch.randn(1, 4, 5, 5, generator=generator) for _ in range(2))
    sigma = torch.tensor(2.5)
    x = clean + sigma * noise
    torch.testing.assert_close(Epsilon().denoised(x, noise, sigma), clean)
    norm = (1 + sigma**2).sqrt()
    velocity = (noise - sigma * clean) / norm
    torch.testing.assert_close(Velocity().denoised(x, velocity, sigma), clean, rtol=1e-4, atol=1e-5)


def test_start_noise_has_unit_variance_scale_only_from_the_top() -> None:
    sampling = ModelSampling.epsilon()
    latent, noise, top = torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2), torch.tensor([14.614643, 0.0])
    assert is_full_denoise(sampling.sigma_max, top)
    assert not is_full_denoise(sampling.sigma_max, top - 0.1)
    full = sampling.path.add_noise(latent, noise, top[0], full=True)
    assert float(full[0, 0, 0, 0]) == pytest.approx(1 + (1 + 14.614643**2) ** 0.5, rel=1e-6)
    assert float(sampling.path.add_noise(latent, noise, top[0])[0, 0, 0, 0]) == pytest.approx(15.614643, rel=1e-6)


def test_flow_mixes_and_unmixes() -> None:
    path = RectifiedFlow(FlowLevels().percent_to_sigma)
    latent, sigma = torch.full((1, 1, 2, 2), 3.0), torch.tensor(0.25)
    mixed = path.add_noise(latent, torch.zeros_like(latent), sigma)
    torch.testing.assert_close(path.remove_scale(mixed, sigma), latent)


@pytest.mark.parametrize("path", [VarianceExploding(DISCRETE.percent_to_sigma), RectifiedFlow(lambda _: 0.9999)])
def test_ancestral_step_keeps_the_variance_of_the_target(path: VarianceExploding | RectifiedFlow) -> None:
    sigma, target = torch.tensor(0.8), torch.tensor(0.5)
    for eta in (0.0, 0.5, 1.0):
        step = path.ancestral_step(sigma, target, eta)
        total = (step.scale * step.sigma_down) ** 2 + step.sigma_up**2
        torch.testing.assert_close(total.sqrt(), target)


def test_pure_noise_gets_a_finite_log_snr() -> None:
    sampling = ModelSampling.flow(FlowLevels(3.0))
    sigmas = torch.tensor([1.0, 0.5, 0.0])
    fixed = sampling.path.with_finite_snr(sigmas)
    assert sigmas[0] == 1.0
    assert fixed[0] < 1.0
    assert torch.isfinite(sampling.path.half_log_snr(fixed[:2])).all()
    assert sampling.path.with_finite_snr(fixed) is fixed
