"""Guidance away from a weakened network: one more pass with blurred inputs, idle attention, or skipped layers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from torch import Tensor

from comfykernel_core_nodes.diffusion.attention import attend
from comfykernel_core_nodes.diffusion.guidance.predictions import Side
from comfykernel_core_nodes.diffusion.guidance.stages import GuidedRun, Predict, Stages, Step, in_range
from comfykernel_core_nodes.diffusion.hook_points import NO_HOOKS, Hooks, Point, Site

Attention = Callable[[Tensor, Tensor, Tensor, Site], Tensor]

# The block that both guidances by attention look at.
MIDDLE: Final = ("middle", 0)


def perturbed_attention(scale: float) -> Callable[[GuidedRun], Stages]:
    """PAG (Ahn et al. 2024, arXiv:2403.17377, eq. 15): away from a pass whose middle block attends to nothing else."""

    def start(run: GuidedRun) -> Stages:
        attention = attention_of(run)

        def idle(q: Tensor, k: Tensor, v: Tensor, site: Site) -> Tensor:
            return v if (site.block, site.number) == MIDDLE else attention(q, k, v, site)

        hooks = NO_HOOKS.with_function(Point.SELF_ATTENTION, idle)

        def after(denoised: Tensor, step: Step) -> Tensor:
            (perturbed,) = step.predict([step.positive], hooks=hooks)
            return denoised + (step.cond - perturbed) * scale

        return Stages(after=(after,) if scale else ())

    return start


def attention_of(run: GuidedRun) -> Attention:
    """Self-attention as the model of a run has it."""
    replaced = run.model.hooks.at(Point.SELF_ATTENTION)
    if replaced:
        own: Attention = replaced[-1]
        return own
    return lambda q, k, v, site: attend(q, k, v, site.heads)


def skip_layers(double: Collection[int], single: Collection[int] = ()) -> Hooks:
    """Functions that leave out blocks of two streams and of one stream, by number."""

    def skip_double(run: Callable[..., Any], image: Tensor, text: Tensor, site: Site) -> tuple[Tensor, Tensor]:
        result: tuple[Tensor, Tensor] = (image, text) if site.number in double else run(image, text)
        return result

    def skip_single(run: Callable[..., Any], tokens: Tensor, site: Site) -> Tensor:
        result: Tensor = tokens if site.number in single else run(tokens)
        return result

    return NO_HOOKS.with_function(Point.DOUBLE_BLOCK, skip_double).with_function(Point.SINGLE_BLOCK, skip_single)


@dataclass(frozen=True, slots=True)
class SkippedLayers:
    """Which blocks are left out, and when."""

    double: Collection[int]
    single: Collection[int] = ()
    start_percent: float = 0.0
    end_percent: float = 1.0
    hooks: Hooks = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hooks", skip_layers(self.double, self.single))

    def __bool__(self) -> bool:
        return bool(self.double or self.single)


def skip_layer_guidance(layers: SkippedLayers, scale: float, *, rescale: float = 0.0) -> Callable[[GuidedRun], Stages]:
    """Away from a pass without some layers, as published for Stable Diffusion 3.5 medium.

    rescale: how far the result is brought to the standard deviation of the positive prediction, 0 for not at all.
    """

    def start(run: GuidedRun) -> Stages:
        if not layers or scale <= 0:
            return Stages()
        applies = in_range(run, layers.start_percent, layers.end_percent)

        def after(denoised: Tensor, step: Step) -> Tensor:
            if not applies(step.sigma):
                return denoised
            (skipped,) = step.predict([step.positive], hooks=layers.hooks)
            guided = denoised + (step.cond - skipped) * scale
            if rescale:
                guided = guided * (rescale * (step.cond.std() / guided.std()) + (1.0 - rescale))
            return guided

        return Stages(after=(after,))

    return start


def skip_layers_of_negative(layers: SkippedLayers) -> Callable[[GuidedRun], Stages]:
    """The pass without some layers takes the place of the negative one: no further pass is needed."""

    def start(run: GuidedRun) -> Stages:
        if not layers:
            return Stages()
        applies = in_range(run, layers.start_percent, layers.end_percent)

        def around(predict: Predict, own: Tensor, sigma: Tensor) -> Predict:
            def predicted(
                sides: Sequence[Side | None], *, x: Tensor | None = None, hooks: Hooks = NO_HOOKS
            ) -> list[Tensor]:
                if len(sides) != 2 or sides[1] is None or not applies(sigma):
                    return predict(sides, x=x, hooks=hooks)
                cond = predict([sides[0], None], x=x, hooks=hooks)[0]
                return [cond, predict([None, sides[1]], x=x, hooks=hooks.joined(layers.hooks))[1]]

            return predicted

        return Stages(around_sides=(around,))

    return start
