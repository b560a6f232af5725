"""Hooks on conditions: patches of weights that hold for the conditions that carry them, with strengths over the run.

The model's own network is never changed: passes of conditions with hooks use one that has the patched tensors besides
and shares all others with it. Patched tensors are kept as long as their strength acts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel, RunnableModel
from comfykernel_core_nodes.diffusion.guidance.predictions import Batch, NetworkCall
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
    """A network with patched weights in the passes of conditions that carry hooks, for one run.

    The owner of memory keeps a network for each group of hooks at its strengths of the moment; it has tensors of its
    own for what is patched and shares all others.
    """

    def __init__(self, runnable: RunnableModel, run: GuidedRun, memory: ModelMemory) -> None:
        self._runnable = runnable
        self._run = run
        self._memory = memory
        self._strengths: dict[int, StrengthOverRun] = {}
        self._patched: dict[tuple[DiffusionModel, ConditionHooks], tuple[tuple[float, ...], Weights[nn.Module]]] = {}

    def __call__(self, batch: Batch) -> Tensor:
        return NetworkCall(self.runnable(batch), self._memory)(batch)

    def runnable(self, batch: Batch) -> RunnableModel:
        """The model that the conditions of a batch want, with the weights that they want."""
        condition = batch.conditions[0].condition
        model, hooks = condition.model or self._run.model, condition.hooks
        if not hooks:
            return self._runnable if model is self._run.model else model.ready(self._memory)
        strengths = tuple(self._strength(hook, float(batch.sigma[0])) for hook in hooks)
        return model.ready(self._memory, weights=self._weights(model, hooks, strengths))

    def _strength(self, hook: WeightHook, sigma: float) -> float:
        # By identity: hooks that were given their keyframes together move on together.
        key = id(hook.keyframes)
        if key not in self._strengths:
            first = float(self._run.sigmas.max())
            self._strengths[key] = StrengthOverRun(hook.keyframes, self._run.sigma_at, first)
        return hook.strength_model * self._strengths[key].at(sigma)

    def _weights(
        self, model: DiffusionModel, hooks: ConditionHooks, strengths: tuple[float, ...]
    ) -> Weights[nn.Module]:
        if not any(strengths):
            return model.weights
        known = self._patched.get((model, hooks))
        if known is None or known[0] != strengths:
            # The network of another strength goes first: nobody asks for weights that nobody holds.
            self._patched.pop((model, hooks), None)
            known = self._patched[model, hooks] = (strengths, patched_weights(model.weights, hooks, strengths))
        return known[1]


def patched_weights(
    weights: Weights[nn.Module], hooks: ConditionHooks, strengths: Sequence[float]
) -> Weights[nn.Module]:
    """The weights with the patches of hooks over their own; the given ones stay as they are."""
    for hook, strength in zip(hooks, strengths, strict=True):
        if strength:
            weights = weights.with_patches(hook.source.model_patches(weights, strength))
    return weights


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
