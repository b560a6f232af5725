"""What control networks have in common: a hint, a strength, a range of the run, residuals for the main network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from comfykernel_core_nodes.diffusion.diffusion_model import RunnableModel
    from comfykernel_core_nodes.diffusion.hook_points import Hooks
    from comfykernel_core_nodes.diffusion.memory import ModelMemory

# Residuals for "input" and "output" blocks and the "middle", the last in a list taken first; None adds nothing.
# Transformers of two streams take theirs in order.
Residuals = Mapping[str, Sequence[Tensor | None]]


@dataclass(frozen=True, slots=True, eq=False)
class ControlCall:
    """One call of the main network, as a control network sees it."""

    model: RunnableModel
    memory: ModelMemory
    x: Tensor
    """noisy latents [batch, channel, height, width]"""
    sigma: Tensor
    """[batch]"""
    inputs: Mapping[str, object]
    """of the main network, for the whole batch"""
    conditions: int = 1
    """how many conditions share the batch, each with as many rows"""


class AppliedControl(Protocol):
    """A control network with its hint, as a condition carries it."""

    @property
    def both_sides(self) -> bool:
        """Whether it also acts on the side that guidance moves away from."""

    @property
    def label(self) -> str:
        """Where it comes from, for errors."""

    def residuals(self, call: ControlCall) -> Residuals | None:
        """What it adds to the main network in one call; None outside its range."""


class Attachment(Protocol):
    """Functions inside the network for one condition."""

    @property
    def both_sides(self) -> bool:
        """Whether it also acts on the side that guidance moves away from."""

    def hooks(self, latent_shape: Sequence[int], memory: ModelMemory) -> Hooks:
        """The functions for one call; latent_shape: [batch, channel, height, width]."""


def added_residuals(first: Residuals | None, second: Residuals | None) -> Residuals | None:
    """Both together; lists are matched at the end that is taken first."""
    if first is None or second is None:
        return first if second is None else second
    total: dict[str, list[Tensor | None]] = {}
    for name in (*first, *(name for name in second if name not in first)):
        pair = [list(reversed(list(each.get(name, ())))) for each in (first, second)]
        length = max(len(values) for values in pair)
        padded = [values + [None] * (length - len(values)) for values in pair]
        total[name] = [_sum(a, b) for a, b in zip(*padded, strict=True)][::-1]
    return total


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b


def control_residuals(controls: Sequence[AppliedControl], call: ControlCall) -> Residuals | None:
    """What all control networks of a condition add."""
    total: Residuals | None = None
    for control in controls:
        total = added_residuals(total, control.residuals(call))
    return total
