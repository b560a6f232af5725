"""The stages of a guided call, where functions that a model carries can act.

A sampler asks for one prediction of the clean latent. On the way to it, in this order:

    scale              the strength of the guidance at this noise level
    around_call        around everything below (step caches)
    around_sides       around the predictions of the sides, such as the positive and the negative one
    around_prediction  around these and all extra predictions (context windows)
    around_network     around each pass of the network
    before             changes the predictions before they are combined
    combine            makes one of two; the last one given is used, classifier-free guidance without any
    after              changes the combined prediction; may ask for extra predictions through `step.predict`
    mask               changes the mask of an inpainting run at this noise level

A model carries a tuple of `Guidance`: values, or functions that make one for each run, which may thus keep state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, NamedTuple, Protocol

from torch import Tensor

from comfykernel_core_nodes.diffusion.guidance.predictions import ModelCall, Side
from comfykernel_core_nodes.diffusion.hook_points import NO_HOOKS, Hooks
from comfykernel_core_nodes.diffusion.samplers.contract import Guided

if TYPE_CHECKING:
    from comfykernel_core_nodes.diffusion.conditioning import Conditions
    from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel


class Predictions(NamedTuple):
    """Predictions of the clean latent for the positive and the negative conditions."""

    cond: Tensor
    uncond: Tensor
    """zeros where the negative side was left out"""


class Predict(Protocol):
    """Predictions of the clean latent, one a side; zeros for a side that is None."""

    def __call__(
        self, sides: Sequence[Side | None], *, x: Tensor | None = None, hooks: Hooks = NO_HOOKS
    ) -> list[Tensor]:
        """x: another noisy latent than the call's; hooks: functions inside the network for these passes."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What the functions of a stage see of one call."""

    x: Tensor
    """noisy latent [batch, channel, ...]"""
    sigma: Tensor
    """its noise level, a scalar"""
    scale: float
    positive: Side
    negative: Side | None
    """None where it was left out, as it is at scale 1 unless somebody needs it"""
    cond: Tensor
    uncond: Tensor
    predict: Predict

    @property
    def predictions(self) -> Predictions:
        """Both predictions as they are."""
        return Predictions(self.cond, self.uncond)


@dataclass(frozen=True, slots=True, eq=False)
class GuidedRun:
    """A run that begins, as functions that keep state or need noise levels see it."""

    model: DiffusionModel
    sigmas: Tensor
    """of the whole run, [steps + 1]"""
    place: Callable[[Conditions], Side]
    """Conditions of one more side, placed for the latents of the run"""

    def sigma_at(self, percent: float) -> float:
        """Noise level at a progress in 0..1."""
        return float(self.model.sampling.levels.percent_to_sigma(percent))


class CallGuided(Protocol):
    """The whole of a guided call."""

    def __call__(self, x: Tensor, sigma: Tensor, *, needs_negative: bool) -> Guided: ...


ChangeScale = Callable[[float, Tensor], float]
AroundCall = Callable[[CallGuided], CallGuided]
AroundPredict = Callable[[Predict, Tensor, Tensor], Predict]
"""(predict, noisy latent and noise level of the call) -> predict"""
AroundNetwork = Callable[[ModelCall], ModelCall]
Before = Callable[[Step], Predictions]
Combine = Callable[[Step], Tensor]
After = Callable[[Tensor, Step], Tensor]
ChangeMask = Callable[[Tensor, Tensor], Tensor]
"""(mask [batch, channel, ...], noise level) -> mask"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """Functions by stage; of functions around something, the one added last is called first."""

    scale: tuple[ChangeScale, ...] = ()
    around_call: tuple[AroundCall, ...] = ()
    around_sides: tuple[AroundPredict, ...] = ()
    around_prediction: tuple[AroundPredict, ...] = ()
    around_network: tuple[AroundNetwork, ...] = ()
    before: tuple[Before, ...] = ()
    combine: tuple[Combine, ...] = ()
    after: tuple[After, ...] = ()
    mask: tuple[ChangeMask, ...] = ()
    needs_negative: bool = False
    """the negative side is computed at scale 1, too"""

    def joined(self, other: Stages) -> Stages:
        """The functions of both, these first."""
        return Stages(**{each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)})


Guidance = Stages | Callable[[GuidedRun], Stages]


def stages_of(parts: Sequence[Guidance], run: GuidedRun) -> Stages:
    """The stages of one run."""
    total = Stages()
    for part in parts:
        total = total.joined(part if isinstance(part, Stages) else part(run))
    return total


def in_range(run: GuidedRun, start_percent: float, end_percent: float) -> Callable[[Tensor], bool]:
    """Whether a noise level lies between two progresses of a run, both included."""
    first, last = run.sigma_at(start_percent), run.sigma_at(end_percent)
    return lambda sigma: last <= float(sigma) <= first
