"""Checks of graphs of nodes: whole sampling runs, and single nodes over images, masks, latents and texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any, Final

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.golden import recipe, summed_cache
from comfykernel_core_nodes.golden.carried_state import OTHER_ENDING, earlier_states
from comfykernel_core_nodes.golden.network_checks import recorded
from comfykernel_core_nodes.golden.node_graphs import run_graph
from comfykernel_core_nodes.golden.records import Absent, Case, Tolerance, differences, unequal
from comfykernel_core_nodes.golden.tiny_models import TinyModels

RUN_TOLERANCE: Final = Tolerance(1e-3, 0.01, of_largest=True)
IMAGE_TOLERANCE: Final = Tolerance(1e-5, 1e-5)
# Results in whole steps of 1/255: a step more or less on a few pixels.
EIGHT_BIT_TOLERANCE: Final = Tolerance(0.0, 1 / 255 + 1e-6)


class GraphChecks:
    """The groups `ksampler` and `image_ops`; `in_a_row` are cases whose model earlier ones may have changed."""

    def __init__(self, models: TinyModels, tolerance: Tolerance, in_a_row: Set[str] = frozenset()) -> None:
        self._models = models
        self._in_a_row = in_a_row
        self._tolerance = tolerance

    def check(self, case: Case) -> list[str]:
        """What is wrong with a case."""
        if case.name.startswith("ImageUpscaleWithModel/"):
            upscaler = self._models.upscaler(case.inputs["model"])
            out = upscaler.upscale(recipe.image(*case.inputs["image"]))
            return differences({"out": out}, case.tensors, self._tolerance)
        if "graph" not in case.inputs:
            raise Absent(f"no check of {case.name.split('/')[0]}")
        entries: Mapping[str, Mapping[str, Any]] = case.inputs["graph"]
        nodes = {id: entry for id, entry in entries.items() if "node" in entry}
        leaves = {id: self._leaf(entry) for id, entry in entries.items() if id not in nodes}
        if any(entry["node"] == summed_cache.NODE for entry in nodes.values()):
            with summed_cache.summed_cache:
                return self._problems_in_any_state(case, nodes, leaves)
        return self._problems_in_any_state(case, nodes, leaves)

    def _problems_in_any_state(
        self, case: Case, nodes: Mapping[str, Mapping[str, Any]], leaves: Mapping[str, object]
    ) -> list[str]:
        problems = self._problems(case, nodes, leaves)
        if problems and case.name in self._in_a_row:
            for earlier in self._earlier_leaves(case.inputs["graph"], leaves):
                if not self._problems(case, nodes, earlier):
                    return []
        return problems

    def _earlier_leaves(
        self, entries: Mapping[str, Mapping[str, Any]], leaves: Mapping[str, object]
    ) -> Iterator[dict[str, object]]:
        """The leaves with their models in the states that earlier cases left."""
        models = {
            id: earlier_states(leaf, self._models.diffusion(entries[id]["model"] + OTHER_ENDING))
            for id, leaf in leaves.items()
            if isinstance(leaf, DiffusionModel) and not entries[id]["model"].endswith(OTHER_ENDING)
        }
        for states in zip(*models.values(), strict=True):
            yield {**leaves, **dict(zip(models, states, strict=True))}

    def _problems(self, case: Case, nodes: Mapping[str, Mapping[str, Any]], leaves: Mapping[str, object]) -> list[str]:
        wanted = {name: (id, output) for name, (id, output) in case.inputs["outputs"].items()}
        values = run_graph(nodes, leaves, wanted)
        tolerance = self._tolerance
        if "lanczos" in case.name or "Quantize" in case.name:
            tolerance = EIGHT_BIT_TOLERANCE
        got = _tensors(values, numbered={name for name in values if f"{name}.0" in case.tensors})
        problems = differences(got, case.tensors, tolerance)
        for name, value in case.expect.items():
            problems += unequal(name, _plain(values, name), value)
        return problems

    def _leaf(self, entry: Mapping[str, Any]) -> object:
        match entry:
            case {"model": str(name)}:
                return self._models.diffusion(name)
            case {"vae": str(name)}:
                return self._models.codec(name)
            case {"control_net": str(name)}:
                return self._models.control(name)
            case {"cond": list(tokens), "pooled": pooled}:
                return [Conditioning(recorded(tokens), recorded(pooled) if pooled else None)]
            case {"latent": list(spec)}:
                latent: dict[str, object] = {"samples": recorded(spec) * entry.get("times", 1.0)}
                return latent | ({"batch_index": entry["batch_index"]} if "batch_index" in entry else {})
            case {"empty_latent": list(shape)}:
                return {"samples": torch.zeros(shape)}
            case {"image": list(spec)}:
                return recipe.image(*spec)
            case {"mask": list(spec)}:
                return recipe.mask(*spec, **({"above": entry["above"]} if "above" in entry else {}))
            case {"uniform": list(spec)}:
                return recipe.uniform(*spec)
            case {"rect_mask": list(spec)}:
                return recipe.rect_mask(*spec)
            case {"soft_mask": list(spec)}:
                return recipe.soft_mask(*spec)
        raise Absent(f"no input like {entry}")


def _tensors(values: Mapping[str, list[Any]], numbered: Set[str]) -> dict[str, Tensor | None]:
    """The tensors of outputs by name; those that were recorded item by item are ``NAME.0``, ``NAME.1`` and so on."""
    got: dict[str, Tensor | None] = {}
    for name, items in values.items():
        for number, value in enumerate(items):
            label = f"{name}.{number}" if name in numbered or len(items) > 1 else name
            if isinstance(value, Mapping) and "samples" in value:
                got[label] = value["samples"]
                if isinstance(value.get("noise_mask"), Tensor):
                    got[f"{label}.noise_mask"] = value["noise_mask"]
            elif isinstance(value, Tensor):
                got[label] = value
    return got


def _plain(values: Mapping[str, list[Any]], name: str) -> object:
    """The value of an output, or under `OUTPUT.KEY` of a table's entry; `OUTPUT.0.KEY` is one of several tables."""
    output, _, key = name.partition(".")
    found = values.get(output, [None])
    number, _, inner = key.partition(".")
    if number.isdigit():
        found, key = found[int(number) : int(number) + 1], inner
    if key:
        found = [each.get(key) for each in found if isinstance(each, Mapping)]
    return found[0] if len(found) == 1 else found
