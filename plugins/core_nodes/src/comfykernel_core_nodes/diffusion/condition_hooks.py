"""Hooks on conditions: patches of weights that hold for the conditions that carry them, with strengths over the run.

The network is shared by all: for the passes of conditions with hooks the patched tensors take the place of its own, and
the own ones return afterwards, the same objects as before. Patched tensors are kept as long as their strength acts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.guidance.predictions import Batch, ModelCall
from comfykernel_core_nodes.diffusion.guidance.stages import GuidedRun
from comfykernel_core_nodes.diffusion.keyframes import Keyframes, StrengthOverRun, strength_ranges
from comfykernel_core_nodes.diffusion.memory import ModelMemory
from comfykernel_core_nodes.diffusion.text_encoding import TextEncoder, TextPart, TextStage
from comfykernel_core_nodes.diffusion.weights import WeightPatch, Weights

# Patches of text models by part and name.
TextPatches = Mapping[str, Mapping[str, WeightPatch]]


class PatchSource(Protocol):
    """Where the patches of a hook come from, such as a LoRA file."""

    def model_patches(self, weights: Weights[nn.Module], strength: float) -> Mapping[str, WeightPatch]:
        """Patches of a diffusion model by the names of its tensors."""

    def text_patches(self, clip: TextEncoder, strength: float) -> TextPatches:
        """Patches of text models."""


@dataclass(frozen=True, slots=True, eq=False)
class WeightHook:
    """Patches with their strengths; equal only to itself, so that conditions with the same hook share batches."""

    source: PatchSource
    strength_model: float
    strength_clip: float
    keyframes: Keyframes = ()


# The hooks of a condition, in the order in which they are laid over the weights.
ConditionHooks = tuple[WeightHook, ...]


def with_hook_keyframes(hooks: ConditionHooks, keyframes: Keyframes) -> ConditionHooks:
    """The hooks with other strengths over the run."""
    return tuple(replace(hook, keyframes=keyframes) for hook in hooks)


def with_hooks(conditions: Sequence[Conditioning], hooks: ConditionHooks) -> list[Conditioning]:
    """Conditions that carry more hooks, besides those that they have."""
    return [
        replace(each, hooks=(*each.hooks, *(hook for hook in hooks if hook not in each.hooks))) for each in conditions
    ]


class HookedNetwork:
    """A network whose weights are patched in the passes of conditions that carry hooks, for one run."""

    def __init__(self, call: ModelCall, network: nn.Module, run: GuidedRun, memory: ModelMemory) -> None:
        self._call = call
        self._network = network
        self._run = run
        self._memory = memory
        self._strengths: dict[int, StrengthOverRun] = {}
        self._patched: dict[ConditionHooks, tuple[tuple[float, ...], dict[str, Tensor]]] = {}

    def __call__(self, batch: Batch) -> Tensor:
        hooks: ConditionHooks = batch.conditions[0].condition.hooks
        if not hooks:
            return self._call(batch)
        strengths = tuple(self._strength(hook, float(batch.sigma[0])) for hook in hooks)
        with replaced(self._network, self._tensors(hooks, strengths)):
            return self._call(batch)

    def _strength(self, hook: WeightHook, sigma: float) -> float:
        # By identity: hooks that were given their keyframes together move on together.
        key = id(hook.keyframes)
        if key not in self._strengths:
            first = float(self._run.sigmas.max())
            self._strengths[key] = StrengthOverRun(hook.keyframes, self._run.sigma_at, first)
        return hook.strength_model * self._strengths[key].at(sigma)

    def _tensors(self, hooks: ConditionHooks, strengths: tuple[float, ...]) -> dict[str, Tensor]:
        known = self._patched.get(hooks)
        if known is not None and known[0] == strengths:
            return known[1]
        # What another strength needed goes first: two of them never take memory at once.
        self._patched.pop(hooks, None)
        tensors = patched_tensors(self._run.model.weights, self._network, hooks, strengths)
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        if self._memory.loaded_bytes() + self._kept_bytes() + size <= self._memory.limit_bytes():
            self._patched[hooks] = (strengths, tensors)
        return tensors

    def _kept_bytes(self) -> int:
        kept = [tensor for _, tensors in self._patched.values() for tensor in tensors.values()]
        return sum(tensor.numel() * tensor.element_size() for tensor in kept)


def patched_tensors(
    weights: Weights[nn.Module], network: nn.Module, hooks: ConditionHooks, strengths: Sequence[float]
) -> dict[str, Tensor]:
    """The tensors that hooks change, in the place and precision of the network's own; nothing is changed in place."""
    names: set[str] = set()
    for hook, strength in zip(hooks, strengths, strict=True):
        patches = hook.source.model_patches(weights, strength) if strength else {}
        names.update(patches)
        weights = weights.with_patches(patches)
    own = dict(network.named_parameters())
    with torch.inference_mode(mode=False), torch.no_grad():
        return {name: weights.patched(name, own[name].device, own[name].dtype) for name in names if name in own}


@contextmanager
def replaced(network: nn.Module, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """A network with other tensors in place of some of its own, which return at the end as they were."""
    places = [(network.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2]) for name in tensors]
    own = [getattr(module, name) for module, name in places]
    try:
        for (module, name), tensor in zip(places, tensors.values(), strict=True):
            setattr(module, name, nn.Parameter(tensor, requires_grad=False))
        yield
    finally:
        for (module, name), parameter in zip(places, own, strict=True):
            setattr(module, name, parameter)


def with_text_hooks(clip: TextEncoder, hooks: ConditionHooks, *, scheduled: bool, on_conditions: bool) -> TextEncoder:
    """Text models that read prompts with the patches of hooks, in place of those that they had by this before.

    Parameters:
        scheduled: prompts are read once for each part of the run with strengths of its own; else the strengths over
            the run are left out.
        on_conditions: conditions that are encoded carry the hooks, too.
    """
    bare = replace(clip, stages=(), carried={})
    if scheduled:
        parts = [TextStage((start, end), _hooked(bare, hooks, each)) for start, end, each in _text_stages(hooks)]
    else:
        parts = [TextStage(None, _hooked(bare, hooks, [1.0] * len(hooks)))]
    return replace(clip, stages=tuple(parts), carried={"hooks": hooks} if on_conditions else {})


def _hooked(clip: TextEncoder, hooks: ConditionHooks, strengths: Sequence[float]) -> Mapping[str, TextPart]:
    for hook, strength in zip(hooks, strengths, strict=True):
        if total := hook.strength_clip * strength:
            clip = clip.with_patches(hook.source.text_patches(clip, total))
    return clip.parts


def _text_stages(hooks: ConditionHooks) -> list[tuple[float, float, list[float]]]:
    """(start, end, strength of each hook) of the parts of a run in which no strength changes; 1 before a first one."""
    ranges = [strength_ranges(hook.keyframes) or [(0.0, 1.0, 1.0)] for hook in hooks]
    borders = sorted({0.0, 1.0, *(border for each in ranges for part in each for border in part[:2])})
    return [(start, end, [_strength_in(each, start) for each in ranges]) for start, end in pairwise(borders)]


def _strength_in(ranges: Sequence[tuple[float, float, float]], start: float) -> float:
    return next((strength for begin, end, strength in ranges if begin <= start < end), 1.0)
