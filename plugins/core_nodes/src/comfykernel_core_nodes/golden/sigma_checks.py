"""Checks of noise levels: tables, conversions, schedules, and the nodes that make and change sigmas."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.model_sampling import ModelSampling
from comfykernel_core_nodes.diffusion.schedules import sampler_sigmas, schedule_sigmas, shortened_sigmas
from comfykernel_core_nodes.golden.node_graphs import run_single
from comfykernel_core_nodes.golden.records import Case, Records, Tolerance, differences
from comfykernel_core_nodes.golden.sampling_kinds import sampling_of
from comfykernel_core_nodes.golden.tiny_models import stand_in

TOLERANCE = Tolerance(2e-6, 1e-6)


class SigmaChecks:
    """The group `sigmas`."""

    def __init__(self, records: Records) -> None:
        self._kinds = records.group("sigmas")["kinds"]
        self._samplings: dict[str, ModelSampling] = {}

    def check(self, case: Case) -> list[str]:
        """What is wrong with a case."""
        kind = case.name.split("/")[0]
        if kind in ("table", "timestep", "sigma_of_t", "percent_to_sigma"):
            return self._check_levels(kind, case)
        if "node" in case.inputs:
            return self._check_node(case)
        return differences(self._schedules(kind, case), case.tensors, TOLERANCE)

    def _sampling(self, name: str) -> ModelSampling:
        if name not in self._samplings:
            self._samplings[name] = sampling_of(self._kinds[name])
        return self._samplings[name]

    def _check_levels(self, kind: str, case: Case) -> list[str]:
        sampling, inputs = self._sampling(case.inputs["kind"]), case.inputs
        levels = sampling.levels
        if kind == "table":
            wanted = [case.expect["sigma_min"], case.expect["sigma_max"]]
            problems = differences({"sigmas": levels.sigmas}, case.tensors, TOLERANCE)
            return problems + _numbers([sampling.sigma_min, sampling.sigma_max], wanted)
        if kind == "timestep":
            got = [float(levels.timestep(torch.tensor(sigma))) for sigma in inputs["input_sigmas"]]
            return _numbers(got, case.expect["timestep"])
        if kind == "sigma_of_t":
            got = [float(levels.sigma(torch.tensor(step))) for step in inputs["input_timesteps"]]
            return _numbers(got, case.expect["sigma"])
        return _numbers([levels.percent_to_sigma(p) for p in inputs["input_percents"]], case.expect["sigma"])

    def _schedules(self, kind: str, case: Case) -> dict[str, Tensor | None]:
        i = case.inputs
        levels = self._sampling(i["kind"]).levels
        if kind == "scheduler":
            return {"sigmas": schedule_sigmas(levels, i["scheduler"], i["steps"])}
        if kind == "penultimate":
            made = sampler_sigmas(levels, i["scheduler"], i["steps"], sampler=i["sampler"], denoise=i["denoise"])
            return {"sigmas": made}
        return {
            "ksampler": sampler_sigmas(levels, i["scheduler"], i["steps"], denoise=i["denoise"]),
            "basic_scheduler": shortened_sigmas(levels, i["scheduler"], i["steps"], i["denoise"]),
        }

    def _check_node(self, case: Case) -> list[str]:
        node = case.inputs["node"]
        if node == "SamplingPercentToSigma":
            model = stand_in(self._sampling(case.inputs["kind"]))
            given = {"model": model, "return_actual_sigma": case.inputs["return_actual_sigma"]}
            percents = case.inputs["input_percents"]
            got = [run_single(node, {**given, "sampling_percent": percent})[0][0] for percent in percents]
            return _numbers(got, case.expect["sigma"])
        inputs = dict(case.inputs["inputs"])
        if "sigmas" in inputs:
            inputs["sigmas"] = torch.tensor(inputs["sigmas"])
        if isinstance(inputs.get("model"), str):
            inputs["model"] = stand_in(self._sampling(inputs["model"]))
        outputs = run_single(node, inputs)
        return differences({f"out{n}": values[0] for n, values in enumerate(outputs)}, case.tensors, TOLERANCE)


def _numbers(got: Sequence[float], wanted: Sequence[float]) -> list[str]:
    numbers = (torch.tensor([float(value) for value in values], dtype=torch.float64) for values in (got, wanted))
    return differences({"values": next(numbers)}, {"values": next(numbers)}, TOLERANCE)
