"""Checks of samplers on analytic denoisers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.model_sampling import ModelSampling
from comfykernel_core_nodes.diffusion.noise import start_noise
from comfykernel_core_nodes.diffusion.noise_paths import is_full_denoise
from comfykernel_core_nodes.diffusion.samplers import FRESH_MASK_NOISE, Guided, Sampler, find_sampler
from comfykernel_core_nodes.golden import recipe
from comfykernel_core_nodes.golden.node_graphs import run_single
from comfykernel_core_nodes.golden.records import Absent, Case, Records, Tolerance, differences, unequal
from comfykernel_core_nodes.golden.sampling_kinds import sampling_of
from comfykernel_core_nodes.golden.tiny_models import stand_in

TOLERANCE: Final = Tolerance(1e-4, 1e-4)
SIGMA_TOLERANCE: Final = Tolerance(1e-5, 1e-5)
POSITIVE, NEGATIVE = 1.0, -0.5
# Names of records for noise levels -> names in the group of sigmas.
KINDS: Final = {"eps": "eps", "v": "v", "flow": "sd3_default", "flux": "flux_default"}


class AnalyticDenoiser:
    """A guided analytic denoiser that notes its calls."""

    def __init__(self, inputs: Mapping[str, Any], sampling: ModelSampling, latent: Tensor, kept: Tensor) -> None:
        self.flow = inputs["kind"] in ("flow", "flux")
        self.scale, self.sampling = inputs["cfg"], sampling
        self.latent, self.kept = latent, kept
        masked = inputs["mask"] is not None
        self.mask = (recipe.uniform("samplers/mask", (1, 1, 8, 8)) > 0.5).float() if masked else None
        self.calls: list[float] = []

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.guided(x, sigma).denoised

    def guided(self, x: Tensor, sigma: Tensor) -> Guided:
        self.calls.append(float(sigma))
        if self.mask is not None:
            x = x * self.mask + self.sampling.path.add_noise(self.latent, self.kept, sigma) * (1 - self.mask)
        denoise = recipe.denoise_flow if self.flow else recipe.denoise_epsilon
        rows = torch.ones(len(x), 1, 1, 1)
        level = sigma.float() * rows
        cond, uncond = denoise(x, level, POSITIVE * rows), denoise(x, level, NEGATIVE * rows)
        guided = cond if self.scale == 1 else uncond + (cond - uncond) * self.scale
        if self.mask is not None:
            guided = guided * self.mask + self.latent * (1 - self.mask)
        return Guided(guided, uncond)


class SamplerChecks:
    """The group `samplers`."""

    def __init__(self, records: Records) -> None:
        kinds = records.group("sigmas")["kinds"]
        self._samplings = {kind: sampling_of(kinds[name]) for kind, name in KINDS.items()}

    def check(self, case: Case) -> list[str]:
        """What is wrong with a case."""
        inputs, seed = case.inputs, case.inputs["seed"]
        sampling = self._samplings[inputs["kind"]]
        sampler = self._sampler(inputs, sampling)
        shape = (inputs["batch"], 4, 8, 8)
        empty = inputs["latent"] == "zeros"
        latent = torch.zeros(shape) if empty else 0.7 * recipe.data("samplers/latent", shape)
        noise = start_noise(latent, seed)
        fresh = inputs.get("sampler") in FRESH_MASK_NOISE
        denoiser = AnalyticDenoiser(inputs, sampling, latent, start_noise(latent, seed + 1) if fresh else noise)
        sigmas = torch.tensor(inputs["sigmas"])
        x = sampling.path.add_noise(latent, noise, sigmas[0], full=is_full_denoise(sampling.sigma_max, sigmas))
        seen: list[Tensor] = []
        result = sampler(denoiser, x, sigmas, sampling.path, seed, lambda _step, clean, _x: seen.append(clean))
        result = sampling.path.remove_scale(result, sigmas[-1])
        got = {"latent": result, "last_denoised": seen[-1] if seen else result}
        problems = differences(got, case.tensors, TOLERANCE)
        problems += unequal("calls", len(denoiser.calls), case.expect["calls"])
        problems += unequal("callbacks", len(seen), case.expect["callbacks"])
        if len(denoiser.calls) == len(case.expect["call_sigmas"]):
            called = {"call_sigmas": torch.tensor(denoiser.calls)}
            wanted = {"call_sigmas": torch.tensor(case.expect["call_sigmas"])}
            problems += differences(called, wanted, SIGMA_TOLERANCE)
        return problems

    def _sampler(self, inputs: Mapping[str, Any], sampling: ModelSampling) -> Sampler:
        if "sampler" in inputs:
            try:
                return find_sampler(inputs["sampler"], **inputs.get("extra_options", {}))
            except TypeError as error:
                raise Absent(str(error)) from error
        given = dict(inputs["inputs"])
        if "model" in given:
            given["model"] = stand_in(sampling)
        ((sampler,),) = run_single(inputs["node"], given)
        chosen: Sampler = sampler
        return chosen
