"""The reference of samplers and schedules says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.model_sampling import ModelSampling
from comfykernel_core_nodes.diffusion.samplers import SAMPLERS, Guided
from comfykernel_core_nodes.diffusion.schedules import SCHEDULES, sampler_sigmas
from comfykernel_core_nodes.nodes.pack import core_pack

TEXT = (Path(__file__).parents[4] / "docs" / "samplers_and_schedules.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if line.startswith("| `")]
DOCUMENTED = {row[0].strip("`"): row[1:] for row in ROWS if len(row) == 5}


class CountedDenoiser:
    """Predicts a part of what it sees."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.guided(x, sigma).denoised

    def guided(self, x: Tensor, sigma: Tensor) -> Guided:
        self.calls += 1
        denoised = x * 0.5 / (1 + sigma**2)
        return Guided(denoised, 0.9 * denoised)


def test_all_names_are_there_in_their_order() -> None:
    assert list(DOCUMENTED) == list(SAMPLERS)
    assert [row[0].strip("`") for row in ROWS if row[0].strip("`") in SCHEDULES] == list(SCHEDULES)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_calls_and_noise_are_as_documented(name: str) -> None:
    sampling = ModelSampling.epsilon()
    sigmas = sampler_sigmas(sampling.levels, "normal", 10, sampler=name)
    x = 14.0 * torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    denoisers = CountedDenoiser(), CountedDenoiser()
    first, second = (
        SAMPLERS[name](denoiser, x, sigmas, sampling.path, seed, lambda *_: None)
        for seed, denoiser in enumerate(denoisers)
    )
    _, _, calls, noise = DOCUMENTED[name]
    assert denoisers[0].calls == int(calls)
    assert ("no" if torch.allclose(first, second) else "yes") == noise


def test_nodes_of_the_reference_exist() -> None:
    named = set(re.findall(r"`(\w+(?:Scheduler|Sigmas|Sigma|Select|SamplingDiscrete|ComputeDtype))`", TEXT))
    assert named
    assert named <= set(core_pack().nodes)
