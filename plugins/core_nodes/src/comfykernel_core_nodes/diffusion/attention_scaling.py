"""Attention weights times a number: projections of queries, keys, values and outputs, in UNets and text models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from torch import Tensor

from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.text_encoding import TextEncoder
from comfykernel_core_nodes.diffusion.weights import WeightPatch

# Part of the names of layers that attend over the frames of a video.
TEMPORAL: Final = ".time_stack."
SELF_ATTENTION, CROSS_ATTENTION = "attn1", "attn2"


@dataclass(frozen=True, slots=True)
class Scale:
    """W * factor."""

    factor: float

    def apply(self, weight: Tensor) -> Tensor:
        return weight * self.factor


def scale_attention(model: DiffusionModel, layer: str, factors: Mapping[str, float]) -> DiffusionModel:
    """A model with the projections of its self- (`attn1`) or cross-attention (`attn2`) scaled.

    factors: by `q`, `k`, `v` and `out`. Networks that have no such layers stay as they are.
    """
    modules = {f"{layer}.to_{name}": factor for name, factor in factors.items() if name != "out"}
    modules[f"{layer}.to_out.0"] = factors["out"]
    return model.with_patches(scales(model.weights.source.shapes, modules))


def scale_attention_outputs(
    model: DiffusionModel, *, structural: Mapping[str, float], temporal: Mapping[str, float]
) -> DiffusionModel:
    """A model with what attention gives scaled, by layer; other factors hold for layers over the frames of a video."""
    names = model.weights.source.shapes
    over_time = [name for name in names if TEMPORAL in name]
    over_space = [name for name in names if TEMPORAL not in name]
    patches: dict[str, WeightPatch] = {}
    for group, factors in ((over_time, temporal), (over_space, structural)):
        patches |= scales(group, {f"{layer}.to_out.0": factor for layer, factor in factors.items()})
    return model.with_patches(patches)


def scale_text_attention(clip: TextEncoder, factors: Mapping[str, float]) -> TextEncoder:
    """Text models with the projections of the attention of CLIP scaled; factors by `q`, `k`, `v` and `out`."""
    modules = {f"self_attn.{name}_proj": factor for name, factor in factors.items()}
    return clip.with_patches({name: scales(part.weights.source.shapes, modules) for name, part in clip.parts.items()})


def scales(names: Iterable[str], modules: Mapping[str, float]) -> dict[str, WeightPatch]:
    """Patches of the weights and biases of all modules whose names end so; a factor of 1 needs none."""
    endings = {
        f"{module}.{part}": factor for module, factor in modules.items() if factor != 1 for part in ("weight", "bias")
    }
    return {name: Scale(factor) for name in names for ending, factor in endings.items() if name.endswith(ending)}
