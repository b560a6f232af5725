"""Models merged weight by weight: nothing is computed before the merged model is used or saved."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.errors import DiffusionError
from comfykernel_core_nodes.diffusion.text_encoding import TextEncoder, TextPart
from comfykernel_core_nodes.diffusion.weights import Weights

logger = logging.getLogger(__name__)


class MergeError(DiffusionError, ValueError):
    """Raised when two models have no weights in common."""

    type = "models_do_not_fit"


class Share(NamedTuple):
    """How much of each model a merged weight has: own * first + other * second."""

    own: float
    other: float


# The share of each weight, by its name in the network.
ShareOf = Callable[[str], Share]


@dataclass(frozen=True, slots=True, eq=False)
class Blended:
    """own * W + other * the weight of a name in another model, with that model's patches."""

    weights: Weights[nn.Module]
    name: str
    share: Share

    def apply(self, weight: Tensor) -> Tensor:
        if self.share.other == 0:
            return weight * self.share.own
        other = self.weights.patched(self.name, weight.device, torch.float32)
        return weight * self.share.own + other * self.share.other


def merged_models(first: DiffusionModel, second: DiffusionModel, share_of: ShareOf) -> DiffusionModel:
    """The first model with weights merged from both; all else is the first's. Raises `MergeError`."""
    return replace(first, weights=merged_weights(first.weights, second.weights, share_of))


def merged_texts(first: TextEncoder, second: TextEncoder, share: Share) -> TextEncoder:
    """The first text models, merged with the second's of the same name. Raises `MergeError`."""
    shared = first.parts.keys() & second.parts.keys()
    if not shared:
        found = f"the first has {', '.join(first.parts)}, the second {', '.join(second.parts)}"
        raise MergeError(f"The text models can't be merged: {found}.", "Merge text models of one family.")
    parts: dict[str, TextPart] = {}
    for name, part in first.parts.items():
        if name in shared:
            weights = merged_weights(part.weights, second.parts[name].weights, lambda _name: share)
            part = replace(part, weights=weights)
        parts[name] = part
    return replace(first, parts=parts)


def merged_weights(first: Weights[nn.Module], second: Weights[nn.Module], share_of: ShareOf) -> Weights[nn.Module]:
    """The first weights with a patch on each that the second has, too; what does not fit stays the first's."""
    mine, others = first.source.shapes, second.source.shapes
    shared = [name for name in mine if name in others]
    fitting = [name for name in shared if mine[name] == others[name]]
    if not fitting:
        message = f"{first.label} and {second.label} can't be merged: they have no weights of one name and shape."
        raise MergeError(message, "Merge models of one family.")
    if unlike := sorted(set(shared) - set(fitting)):
        shapes = f"{list(mine[unlike[0]])} and {list(others[unlike[0]])}"
        logger.warning("%d weights are not merged, as %s: their shapes are %s.", len(unlike), unlike[0], shapes)
    return first.with_patches({name: Blended(second, name, share_of(name)) for name in fitting})


def mixed(ratio: float) -> Share:
    """The first model at 1, the second at 0."""
    return Share(ratio, 1.0 - ratio)


def block_shares(ratios: Mapping[str, float]) -> ShareOf:
    """Ratios by the beginnings of names, of which the longest counts; the first ratio is that of all other weights."""
    usual = next(iter(ratios.values()))
    longest_first = sorted(ratios, key=len, reverse=True)

    def share(name: str) -> Share:
        return mixed(next((ratios[start] for start in longest_first if name.startswith(start)), usual))

    return share
