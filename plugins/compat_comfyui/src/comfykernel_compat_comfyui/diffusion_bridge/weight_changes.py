"""Changes of weights as packs hand them over, as patches of the library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass, replace
from typing import Any, Final

from torch import Tensor

from ..missing_names import not_provided
from .library import (  # fmt: skip
    AddDifference,
    DiffusionModel,
    LowRank,
    SetWeight,
    TextEncoder,
    WeightPatch,
    lora_patches,
    text_names,
    unet_names,
)

NETWORK: Final = "diffusion_model."
"""Begins the names of a diffusion model's weights among packs."""


@dataclass(frozen=True, slots=True, eq=False)
class Scaled:
    """The weight times a number."""

    factor: float

    def apply(self, weight: Tensor) -> Tensor:
        """The changed weight."""
        return weight * self.factor


@dataclass(slots=True)
class TextChanges:
    """Patches by text model, and the names among packs of those that fit one."""

    by_part: dict[str, dict[str, WeightPatch]] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)


def patch_of(value: object, strength: float) -> WeightPatch:
    """A patch from what packs pass.

    That is ``("diff", (tensor,))``, ``("lora", (up, down, alpha, middle, magnitude))``, ``("set", (tensor,))``, a tuple
    of one tensor, or a patch of the library.

    Raises:
        NotProvided: another kind.
    """
    if is_dataclass(value) and hasattr(value, "strength") and not isinstance(value, type):
        return replace(value, strength=strength)  # type: ignore[return-value]
    if hasattr(value, "apply"):
        return value
    if isinstance(value, Tensor):
        return AddDifference(value, strength)
    if not isinstance(value, (tuple, list)):
        raise not_provided(f"a weight patch of the type {type(value).__name__}")
    if len(value) == 1:
        return AddDifference(value[0], strength)
    kind, numbers = value[0], value[1]
    if kind == "diff":
        return AddDifference(numbers[0], strength)
    if kind == "set":
        return SetWeight(numbers[0])
    if kind == "lora":
        up, down, alpha, middle, magnitude = (*numbers, None, None, None)[:5]
        return LowRank(up, down, strength, None if alpha is None else float(alpha), middle, magnitude)
    raise not_provided(f"a weight patch of the kind {kind!r}")


def changed_model(
    model: DiffusionModel, patches: Mapping[Any, Any], strength: float, strength_model: float
) -> tuple[DiffusionModel, list[str]]:
    """The model with patches, and the names among packs of those that fit one of its weights."""
    shapes, used = model.weights.source.shapes, []
    changes: dict[str, WeightPatch] = {}
    for key, value in patches.items():
        name = key[0] if isinstance(key, tuple) else str(key)
        own = name.removeprefix(NETWORK)
        if own not in shapes:
            continue
        if isinstance(key, tuple) and len(key) > 1:
            raise not_provided(f"a weight patch for a part of {name}")
        used.append(name)
        changes[own] = patch_of(value, strength)
    if strength_model != 1.0:
        model = model.with_patches({name: Scaled(strength_model) for name in changes})
    return model.with_patches(changes), used


def text_patches(clip: TextEncoder, patches: Mapping[str, Any], strength: float, strength_model: float) -> TextChanges:
    """Patches for the text models, whose weights packs call ``clip_l.transformer.NAME``."""
    changes = TextChanges()
    for key, value in patches.items():
        part, _, rest = str(key).partition(".transformer.")
        name = part.removeprefix("clip_") if part not in clip.parts else part
        own = rest.removeprefix("text_model.")
        if name in clip.parts and own in clip.parts[name].weights.source.shapes:
            if strength_model != 1.0:
                raise not_provided("CLIP.add_patches with a strength of the model itself")
            changes.by_part.setdefault(name, {})[own] = patch_of(value, strength)
            changes.used.append(str(key))
    return changes


def unet_key_map(model: DiffusionModel, key_map: dict[str, Any]) -> dict[str, Any]:
    """Names in LoRA files -> names of weights among packs, for a diffusion model."""
    for name, module in unet_names(model.weights.source.shapes).items():
        key_map[name] = f"{NETWORK}{module}.weight"
    return key_map


def text_key_map(clip: TextEncoder, key_map: dict[str, Any]) -> dict[str, Any]:
    """Names in LoRA files -> names of weights among packs, for text models."""
    for part, text_model in clip.parts.items():
        for name, module in text_names(part, text_model.weights.source.shapes, clip.parts).items():
            key_map[name] = f"clip_{part}.transformer.{module}.weight"
    return key_map


def read_lora(tensors: Mapping[str, Tensor], to_load: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """Patches of strength 1 by the names of weights among packs, and the names in the file that were taken."""
    used: set[str] = set()
    names = {name: str(key).removesuffix(".weight") for name, key in to_load.items() if isinstance(key, str)}
    return dict(lora_patches(tensors, names, 1.0, used)), used
