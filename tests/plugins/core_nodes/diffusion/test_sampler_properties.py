"""What holds for every sampler, whatever its numbers."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.errors import UnknownSampler
from comfykernel_core_nodes.diffusion.model_sampling import ModelSampling
from comfykernel_core_nodes.diffusion.samplers import SAMPLERS, Guided, find_sampler
from comfykernel_core_nodes.diffusion.schedules import karras_sigmas

SIGMAS = karras_sigmas(6, 0.03, 14.6)
PATH = ModelSampling.epsilon().path
# Ends at a small level instead of 0, or extrapolates beyond its target by design.
INEXACT = {"uni_pc", "uni_pc_bh2", "dpm_fast", "dpm_adaptive"}


class Knowing:
    """A model that knows the answer."""

    def __init__(self, answer: Tensor) -> None:
        self.answer = answer

    def guided(self, x: Tensor, sigma: Tensor) -> Guided:
        return Guided(self.answer, self.answer)

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.answer


def noisy(answer: Tensor) -> Tensor:
    return answer + SIGMAS[0] * torch.randn(answer.shape, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", SAMPLERS)
def test_reaches_the_answer_of_a_model_that_knows_it(name: str) -> None:
    answer = torch.linspace(-1, 1, 64).view(1, 1, 8, 8)
    result = SAMPLERS[name](Knowing(answer), noisy(answer), SIGMAS, PATH, 1, lambda *_: None)
    torch.testing.assert_close(result, answer, rtol=0, atol=0.2 if name in INEXACT else 1e-4)


@pytest.mark.parametrize("name", SAMPLERS)
def test_same_seed_gives_the_same_latent_and_leaves_the_global_generator_alone(name: str) -> None:
    answer = torch.zeros(1, 1, 4, 4)
    state = torch.get_rng_state()
    first, second = (
        SAMPLERS[name](Knowing(answer), noisy(answer), SIGMAS[:4], PATH, 9, lambda *_: None) for _ in range(2)
    )
    assert torch.equal(first, second)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("name", SAMPLERS)
def test_exception_of_the_callback_ends_the_run_at_once(name: str) -> None:
    class Stopped(Exception):
        pass

    seen: list[int] = []

    def callback(step: int, denoised: Tensor, x: Tensor) -> None:
        seen.append(step)
        raise Stopped

    answer = torch.zeros(1, 1, 4, 4)
    with pytest.raises(Stopped):
        SAMPLERS[name](Knowing(answer), noisy(answer), SIGMAS, PATH, 1, callback)
    assert seen == [0]


@pytest.mark.parametrize("name", SAMPLERS)
def test_first_six_parameters_are_the_same_and_the_rest_has_defaults(name: str) -> None:
    parameters = list(inspect.signature(SAMPLERS[name]).parameters.values())
    assert [p.name for p in parameters[:6]] == ["denoise", "x", "sigmas", "path", "seed", "callback"]
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in parameters[6:])
    assert (inspect.getdoc(SAMPLERS[name]) or "").strip()


def test_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownSampler, match=r"no sampler 'eular'.*euler_ancestral") as caught:
        find_sampler("eular")
    assert caught.value.type == "unknown_sampler"


def test_options_are_checked_against_the_sampler() -> None:
    with pytest.raises(TypeError, match="has no option s_chrun"):
        find_sampler("euler", s_chrun=1.0)


def test_churn_adds_noise_and_heals_it() -> None:
    answer = torch.zeros(1, 1, 4, 4)
    run = find_sampler("euler", s_churn=5.0)
    result = run(Knowing(answer), noisy(answer), SIGMAS, PATH, 1, lambda *_: None)
    torch.testing.assert_close(result, answer, rtol=0, atol=1e-5)
