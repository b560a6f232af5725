"""What hooks on conditions lay over weights: LoRA files, and whole models as the differences to the one at hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.condition_hooks import TextPatches
from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.lora import lora_patches
from comfykernel_core_nodes.diffusion.lora_names import model_names, text_names
from comfykernel_core_nodes.diffusion.text_encoding import TextEncoder
from comfykernel_core_nodes.diffusion.weights import TensorSource, WeightPatch, Weights


@dataclass(frozen=True, slots=True, eq=False)
class LoraSource:
    """The tensors of a LoRA file."""

    tensors: Mapping[str, Tensor]

    def model_patches(self, weights: Weights[nn.Module], strength: float) -> Mapping[str, WeightPatch]:
        """Patches of a diffusion model by the names of its tensors."""
        known = model_names(weights.source.shapes)
        return lora_patches(self.tensors, known.names, strength, set(), known.targets)

    def text_patches(self, clip: TextEncoder, strength: float) -> TextPatches:
        """Patches of text models by part and name."""
        return {
            name: lora_patches(self.tensors, text_names(name, part.weights.source.shapes, clip.parts), strength, set())
            for name, part in clip.parts.items()
        }


@dataclass(frozen=True, slots=True, eq=False)
class ModelSource:
    """Models whose weights are moved to: at strength 1 their own, at 0 those at hand."""

    model: DiffusionModel | None
    clip: TextEncoder | None

    def model_patches(self, weights: Weights[nn.Module], strength: float) -> Mapping[str, WeightPatch]:
        """Patches of a diffusion model by the names of its tensors; those of other shapes stay as they are."""
        if self.model is None:
            return {}
        return moves(weights.source, self.model.weights.source, strength)

    def text_patches(self, clip: TextEncoder, strength: float) -> TextPatches:
        """Patches of text models by part and name."""
        wanted = {} if self.clip is None else self.clip.parts
        return {
            name: moves(part.weights.source, wanted[name].weights.source, strength)
            for name, part in clip.parts.items()
            if name in wanted
        }


@dataclass(frozen=True, slots=True, eq=False)
class MoveTowards:
    """W + s * (target - origin), for the tensors of one name in two models as their files hold them."""

    origin: TensorSource
    target: TensorSource
    name: str
    strength: float

    def apply(self, weight: Tensor) -> Tensor:
        difference = self.target.value(self.name, weight) - self.origin.value(self.name, weight)
        return weight + self.strength * difference


def moves(origin: TensorSource, target: TensorSource, strength: float) -> dict[str, WeightPatch]:
    """Patches of all tensors that two models have in one shape."""
    return {
        name: MoveTowards(origin, target, name, strength)
        for name, shape in origin.shapes.items()
        if target.shapes.get(name) == shape
    }
