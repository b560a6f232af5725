"""LoRA files: reading them in the published layouts and laying them over models."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.errors import CheckpointError, DiffusionError
from comfykernel_core_nodes.diffusion.lora_names import Target, longest_prefixes, model_names, text_names
from comfykernel_core_nodes.diffusion.text_encoding import TextEncoder
from comfykernel_core_nodes.diffusion.weight_files import open_weights
from comfykernel_core_nodes.diffusion.weight_patches import (
    AddDifference,
    Butterfly,
    Generalised,
    Hadamard,
    Kronecker,
    LowRank,
    OnRows,
    Orthogonal,
    SetWeight,
    Unchanged,
)
from comfykernel_core_nodes.diffusion.weights import WeightPatch
from comfykernel_sdk.families import Shape

logger = logging.getLogger(__name__)

# Endings of the two factors of a low-rank update: kohya, diffusers (three ages), PEFT.
LOW_RANK_ENDINGS: Final = (
    (".lora_up.weight", ".lora_down.weight"),
    ("_lora.up.weight", "_lora.down.weight"),
    (".lora_B.weight", ".lora_A.weight"),
    (".lora.up.weight", ".lora.down.weight"),
    (".lora_B", ".lora_A"),
    (".lora_linear_layer.up.weight", ".lora_linear_layer.down.weight"),
)


# How files begin the names of text models' weights.
TEXT_BEGINNINGS: Final = ("lora_te", "text_encoder", "te1_", "te2_", "lora_prior_te_", "clip_", "t5xxl.")

FAMILY_HINT: Final = "The LoRA must be made for the model's family."


class LoraShapeError(DiffusionError, ValueError):
    """Raised when a LoRA is for weights of other shapes."""

    type = "models_do_not_fit"


@dataclass(frozen=True, slots=True)
class LoraResult:
    """The patched handles, and the names in the file that neither model knows."""

    model: DiffusionModel | None
    clip: TextEncoder | None
    unused: list[str]


def load_lora(path: Path) -> Mapping[str, Tensor]:
    """Tensors of a LoRA file; raises `CheckpointError`."""
    file = open_weights(path)
    if not file.shapes:
        raise CheckpointError(path, "holds no tensors.")
    return file.read({name: name for name in file.shapes})


def apply_lora(
    tensors: Mapping[str, Tensor],
    model: DiffusionModel | None,
    clip: TextEncoder | None,
    strength_model: float,
    strength_clip: float,
) -> LoraResult:
    """Lay a LoRA over a model and a text model; the given handles stay as they are, weights are shared.

    Strength 1 is the LoRA as trained, 0 leaves the handle alone, negative values go the other way.
    """
    used: set[str] = set()
    if model is not None:
        known = model_names(model.weights.source.shapes)
        patches = lora_patches(tensors, known.names, strength_model, used, known.targets)
        _check_shapes(patches, model.weights.source.shapes)
        model = model.with_patches(patches) if patches and strength_model else model
    if clip is not None:
        of_parts = {
            name: lora_patches(tensors, text_names(name, part.weights.source.shapes, clip.parts), strength_clip, used)
            for name, part in clip.parts.items()
        }
        for name, part in clip.parts.items():
            _check_shapes(of_parts[name], part.weights.source.shapes)
        clip = clip.with_patches(of_parts) if any(of_parts.values()) and strength_clip else clip
    return LoraResult(model, clip, sorted(tensors.keys() - used))


def is_for_text(name: str) -> bool:
    """Whether a name in a LoRA file is one of a text model."""
    return name.startswith(TEXT_BEGINNINGS)


def _check_shapes(patches: Mapping[str, WeightPatch], shapes: Mapping[str, Shape]) -> None:
    """Raise `LoraShapeError` when a low-rank update is for a weight of another size: the LoRA is for another family."""
    for name, patch in patches.items():
        if isinstance(patch, LowRank) and (found := patch.size) is not None and found != math.prod(shapes[name]):
            message = f"changes {name!r} by {list(patch.up.shape)} times {list(patch.down.shape)}"
            raise LoraShapeError(f"{message}; the model has {list(shapes[name])} there.", FAMILY_HINT)
        if isinstance(patch, Hadamard | Kronecker | Generalised):
            try:
                patch.apply(torch.empty(shapes[name], device="meta"))
            except (RuntimeError, IndexError, ValueError) as error:
                message = f"changes {name!r} by {type(patch).__name__} factors that do not fit"
                raise LoraShapeError(f"{message}; the model has {list(shapes[name])} there.", FAMILY_HINT) from error


def lora_patches(
    tensors: Mapping[str, Tensor],
    names: Mapping[str, str],
    strength: float,
    used: set[str],
    targets: Mapping[str, Target] | None = None,
) -> dict[str, WeightPatch]:
    """Patches by weight name; keys of the file that were taken are added to `used`.

    targets: what stands in `names` and is no module; patches of its weight are laid over the tensor, or its rows.
    """
    groups: dict[str, dict[str, Tensor]] = {}
    for name, _, rest in longest_prefixes(tensors, names):
        groups.setdefault(name, {})[rest] = tensors[name + rest]
    patches: dict[str, WeightPatch] = {}
    for name, entries in groups.items():
        known = _Entries(entries)
        try:
            made = _module_patches(known, strength)
        except (KeyError, RuntimeError, ValueError) as error:
            missing = f"lacks {name + str(error.args[0])!r}" if isinstance(error, KeyError) else "has odd shapes"
            message = f"{missing}, without which its change of {names[name]!r} makes no sense."
            raise LoraShapeError(message, "Download or copy the file again.") from error
        for ending, patch in made.items():
            patches[names[name] + ending] = patch
        used.update(name + rest for rest in known.used)
    return _on_targets(patches, targets) if targets else patches


def _on_targets(patches: Mapping[str, WeightPatch], targets: Mapping[str, Target]) -> dict[str, WeightPatch]:
    """Patches by the tensors that they change; those of rows of one tensor are put together."""
    changed: dict[str, WeightPatch] = {}
    for name, patch in patches.items():
        module, _, ending = name.rpartition(".")
        target = targets.get(module)
        if target is None:
            changed[name] = patch
        elif target.rows is None:
            changed[target.tensor] = patch
        else:
            tensor = f"{target.tensor.rpartition('.')[0]}.{ending}"
            before = changed.get(tensor)
            earlier = before.parts if isinstance(before, OnRows) else ()
            changed[tensor] = OnRows((*earlier, (target.start, target.rows, patch)))
    return changed


class _Entries:
    """The entries of one module in a file, noting which were used."""

    def __init__(self, entries: Mapping[str, Tensor]) -> None:
        self._entries = entries
        self.used: set[str] = set()

    def __contains__(self, ending: str) -> bool:
        return ending in self._entries

    def __getitem__(self, ending: str) -> Tensor:
        self.used.add(ending)
        return self._entries[ending]

    def get(self, ending: str) -> Tensor | None:
        if ending not in self._entries:
            return None
        return self[ending]

    def number(self, ending: str) -> float | None:
        value = self.get(ending)
        return None if value is None else float(value)


def _module_patches(entries: _Entries, strength: float) -> dict[str, WeightPatch]:
    patches: dict[str, WeightPatch] = {}
    for build in (_low_rank, _hadamard, _kronecker, _generalised, _orthogonal, _difference):
        patch = build(entries, strength)
        if patch is not None:
            patches[".weight"] = patch
    for ending in (".diff_b", ".b_norm"):
        if ending in entries:
            patches[".bias"] = AddDifference(entries[ending], strength)
    return patches


def _low_rank(entries: _Entries, strength: float) -> WeightPatch | None:
    for up, down in LOW_RANK_ENDINGS:
        if up in entries and down in entries:
            return LowRank(
                entries[up],
                entries[down],
                strength,
                entries.number(".alpha"),
                entries.get(".lora_mid.weight"),
                entries.get(".dora_scale"),
            )
    return None


def _hadamard(entries: _Entries, strength: float) -> WeightPatch | None:
    if ".hada_w1_a" not in entries:
        return None
    first = (entries[".hada_w1_a"], entries[".hada_w1_b"], entries.get(".hada_t1"))
    second = (entries[".hada_w2_a"], entries[".hada_w2_b"], entries.get(".hada_t2"))
    return Hadamard((first, second), strength, entries.number(".alpha"), entries.get(".dora_scale"))


def _kronecker(entries: _Entries, strength: float) -> WeightPatch | None:
    if ".lokr_w1" not in entries and ".lokr_w1_a" not in entries:
        return None
    if entries.get(".lokr_t2") is not None:
        # Programs that pictures are compared with leave such weights alone; doing otherwise would change the pictures.
        logger.warning("A Kronecker update with a Tucker core was left out: it has no agreed effect.")
        return Unchanged()
    first, rank = _kronecker_factor(entries, ".lokr_w1")
    second, second_rank = _kronecker_factor(entries, ".lokr_w2")
    rank = rank if second_rank is None else second_rank
    return Kronecker(first, second, strength, rank, entries.number(".alpha"), entries.get(".dora_scale"))


def _kronecker_factor(entries: _Entries, name: str) -> tuple[Tensor, int | None]:
    """A factor and its rank; None for one that is stored whole."""
    whole = entries.get(name)
    if whole is not None:
        return whole, None
    a, b = entries[name + "_a"].float(), entries[name + "_b"].float()
    return a @ b, b.shape[0]


def _generalised(entries: _Entries, strength: float) -> WeightPatch | None:
    if ".a1.weight" not in entries:
        return None
    a1, a2, b1, b2 = (entries[f".{name}.weight"] for name in ("a1", "a2", "b1", "b2"))
    return Generalised(a1, a2, b1, b2, strength, entries.number(".alpha"), entries.get(".dora_scale"))


def _orthogonal(entries: _Entries, strength: float) -> WeightPatch | None:
    if ".oft_blocks" not in entries:
        return None
    blocks = entries[".oft_blocks"]
    kind = Butterfly if blocks.ndim == 4 else Orthogonal
    return kind(blocks, strength, entries.number(".alpha"), entries.get(".rescale"))


def _difference(entries: _Entries, strength: float) -> WeightPatch | None:
    if ".set_weight" in entries:
        return SetWeight(entries[".set_weight"])
    for ending in (".diff", ".w_norm"):
        if ending in entries:
            return AddDifference(entries[ending], strength)
    return None
