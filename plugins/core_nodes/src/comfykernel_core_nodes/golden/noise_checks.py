"""Checks of noise: start noise, ancestral draws, Brownian intervals."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.noise import brownian_noise, gaussian_noise, start_noise
from comfykernel_core_nodes.golden.node_graphs import run_single
from comfykernel_core_nodes.golden.records import Case, Tolerance, differences

TOLERANCE = Tolerance(1e-6, 1e-6)


class NoiseChecks:
    """The group `noise`."""

    def check(self, case: Case) -> list[str]:
        """What is wrong with a case."""
        return differences(self._draws(case), case.tensors, TOLERANCE)

    def _draws(self, case: Case) -> dict[str, Tensor | None]:
        kind, inputs = case.name.split("/")[0], case.inputs
        seed = int(inputs.get("seed", "0"))
        latent = torch.zeros(inputs["shape"], dtype=getattr(torch, inputs.get("latent_dtype", "float32")))
        rows: Sequence[int] | None = inputs.get("noise_inds") or inputs.get("batch_index")
        if kind in ("RandomNoise", "DisableNoise"):
            return {"noise": node_noise(kind, seed, latent, rows)}
        if kind == "ancestral":
            draw = gaussian_noise(latent, seed)
            nothing = torch.zeros(())
            return {"draw0": draw(nothing, nothing), "draw1": draw(nothing, nothing)}
        if kind == "brownian":
            ends = torch.tensor([inputs["sigma_max"], inputs["sigma_min"]])
            draw, levels = brownian_noise(latent, ends, seed), torch.tensor(inputs["intervals"])
            return {str(n): draw(levels[n], levels[n + 1]) for n in range(len(levels) - 1)}
        return {"noise": start_noise(latent, seed, rows)}


def node_noise(node: str, seed: int, latent: Tensor, rows: Sequence[int] | None) -> Tensor:
    """The noise that a NOISE value gives for a latent."""
    ((source,),) = run_single(node, {"noise_seed": seed} if node == "RandomNoise" else {})
    wire: dict[str, object] = {"samples": latent}
    if rows is not None:
        wire["batch_index"] = list(rows)
    noise: Tensor = source.generate_noise(wire)
    return noise
