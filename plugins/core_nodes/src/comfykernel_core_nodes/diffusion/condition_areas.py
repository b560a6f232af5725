"""Where and when conditions act: areas, masks and ranges, resolved for one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import torch
import torch.nn.functional as functional
from torch import Tensor

from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.control import AppliedControl, Attachment
from comfykernel_core_nodes.diffusion.image_fitting import repeated
from comfykernel_core_nodes.diffusion.sigmas import NoiseLevels
from comfykernel_sdk.families import NetworkInput

# Latent units over which the edge of an area fades, and the least side of a mask's bounding box.
FADE: Final = 8
SMALLEST_AREA: Final = 8


class Rectangle(NamedTuple):
    """A part of a latent, in latent units."""

    height: int
    width: int
    y: int
    x: int

    def contains(self, other: Rectangle) -> bool:
        """Whether the other rectangle lies inside this one."""
        return (
            self.y <= other.y
            and self.x <= other.x
            and other.y + other.height <= self.y + self.height
            and other.x + other.width <= self.x + self.width
        )


@dataclass(frozen=True, eq=False)
class PlacedCondition:
    """A condition for latents of one size; active while sigma is between `sigma_end` and `sigma_start`."""

    condition: Conditioning
    area: Rectangle | None = None
    mask: Tensor | None = None
    sigma_start: float | None = None
    sigma_end: float | None = None
    inputs: Mapping[str, NetworkInput] = field(default_factory=dict)
    """what the model's network is given for it"""
    control_inputs: Mapping[str, NetworkInput] | None = None
    """what control networks are given in place of `inputs`, where they read a text of their own"""

    @property
    def seen_by_controls(self) -> Mapping[str, NetworkInput]:
        """What control networks are given for it."""
        return self.inputs if self.control_inputs is None else self.control_inputs

    def is_active(self, sigma: float) -> bool:
        """Whether the condition acts at a noise level: not outside of its range, nor when its area lies outside."""
        if self.area is not None and min(self.area.height, self.area.width) <= 0:
            return False
        if self.sigma_start is not None and sigma > self.sigma_start:
            return False
        return self.sigma_end is None or sigma >= self.sigma_end

    def crop(self, x: Tensor) -> Tensor:
        """View of the condition's part of a latent [batch, channel, height, width]."""
        if self.area is None:
            return x
        height, width, top, left = self.area
        return x[:, :, top : top + height, left : left + width]

    def weight(self, x: Tensor) -> Tensor:
        """Weight of the condition's prediction in its area: mask and strength, or fading edges."""
        part = self.crop(x)
        if self.mask is not None:
            mask = self.crop(self.mask.to(x.device)[:, None]) * self.condition.mask_strength
            return repeated(mask, len(x)).expand_as(part) * self.condition.strength
        weight = torch.full_like(part, self.condition.strength)
        if self.area is not None:
            for dim, side, start in ((2, self.area.height, self.area.y), (3, self.area.width, self.area.x)):
                _fade(weight, dim, before=start > 0, after=start + side < x.shape[dim])
        return weight


def _fade(weight: Tensor, dim: int, *, before: bool, after: bool) -> None:
    size = weight.shape[dim]
    steps = min(FADE, size // 4)
    for i in range(steps):
        if before:
            weight.narrow(dim, i, 1).mul_((i + 1) / steps)
        if after:
            weight.narrow(dim, size - 1 - i, 1).mul_((i + 1) / steps)


# What a network is given for a condition; the second argument is the number of the condition's side.
ReadInputs = Callable[[Conditioning, int], Mapping[str, NetworkInput]]


def place_conditions(
    sides: Sequence[Sequence[Conditioning]],
    levels: NoiseLevels,
    height: int,
    width: int,
    read: ReadInputs = lambda _condition, _side: {},
) -> list[list[PlacedCondition]]:
    """Resolve the sides of a run (positive, negative, ...) for latents of a size.

    An area on one side gets its counterpart on the others, so that guidance compares like with like; a control network
    that asks for it acts on the others, too.
    """
    placed = [
        [_with_inputs(_placed(each, levels, height, width), read, number) for each in side]
        for number, side in enumerate(sides)
    ]
    for i, side in enumerate(placed):
        for condition in list(side):
            for j, other in enumerate(placed):
                if i != j:
                    _add_counterpart(other, condition)
    for other in placed[1:]:
        for name in ("controls", "attachments"):
            _share(name, placed[0], other)
    return placed


def _with_inputs(placed: PlacedCondition, read: ReadInputs, side: int) -> PlacedCondition:
    other = placed.condition.for_controls()
    for_controls = None if other is None else read(other, side)
    return replace(placed, inputs=read(placed.condition, side), control_inputs=for_controls)


def _share(name: str, side: Sequence[PlacedCondition], other: list[PlacedCondition]) -> None:
    """Give the other side's conditions what this one's carry under a name, where that asks for it and they lack it."""

    def carried(each: PlacedCondition) -> Sequence[AppliedControl | Attachment]:
        values: Sequence[AppliedControl | Attachment] = getattr(each.condition, name)
        return values if each.area is None else ()

    shared = [carried(each) for each in side if any(value.both_sides for value in carried(each))]
    whole = [place for place, each in enumerate(other) if each.area is None]
    if not shared or not whole or any(carried(each) for each in other):
        return
    for number, values in enumerate(shared):
        place = whole[number % len(whole)]
        other[place] = replace(other[place], condition=other[place].condition.with_changes(**{name: values}))


def _placed(condition: Conditioning, levels: NoiseLevels, height: int, width: int) -> PlacedCondition:
    area = None
    if condition.area is not None:
        area = _clipped(Rectangle(*condition.area.resolved(height, width)), height, width)
    mask = None
    if condition.mask is not None:
        mask = fitted_mask(condition.mask, height, width)[:, 0]
        if condition.mask_bounds:
            area = _clipped(_bounds(mask), height, width)
    start, end = _range(condition)
    return PlacedCondition(
        condition,
        area,
        mask,
        None if start is None else levels.percent_to_sigma(start),
        None if end is None else levels.percent_to_sigma(end),
    )


def _range(condition: Conditioning) -> tuple[float | None, float | None]:
    """The part of a run in which a condition acts, 0..1."""
    start, end = condition.start_percent, condition.end_percent
    if condition.text_range is None:
        return start, end
    first, last = condition.text_range
    return max(first, start or 0.0), last if end is None else min(last, end)


def active_weights(
    conditions: Sequence[PlacedCondition], x: Tensor, sigma: float
) -> list[tuple[PlacedCondition, Tensor]]:
    """The conditions of a side that act at a noise level, each with its weight in its area.

    Default conditions get what the others leave of the full weight; where that is nothing, they are left out.
    """
    active = [each for each in conditions if each.is_active(sigma)]
    weighted = [(each, each.weight(x)) for each in active if not each.condition.default]
    defaults = [each for each in active if each.condition.default]
    if defaults:
        left = torch.ones_like(x)
        for each, weight in weighted:
            each.crop(left).sub_(weight)
        left = left.clamp(min=0.0)
        weighted += [(each, each.crop(left)) for each in defaults if bool(left.any())]
    return weighted


def _clipped(area: Rectangle, height: int, width: int) -> Rectangle:
    return area._replace(height=min(height - area.y, area.height), width=min(width - area.x, area.width))


def _bounds(mask: Tensor) -> Rectangle:
    covered = mask.abs().amax(dim=0).nonzero()
    if not len(covered):
        return Rectangle(SMALLEST_AREA, SMALLEST_AREA, 0, 0)
    (top, left), (bottom, right) = covered.amin(dim=0).tolist(), covered.amax(dim=0).tolist()
    return Rectangle(max(SMALLEST_AREA, bottom - top + 1), max(SMALLEST_AREA, right - left + 1), top, left)


def _add_counterpart(side: list[PlacedCondition], condition: PlacedCondition) -> None:
    """Give a side a condition in the same place, range and strength, with the text of its smallest one around it."""
    if condition.area is None:
        return
    best: PlacedCondition | None = None
    for candidate in side:
        if candidate.area is None:
            best = best or candidate
        elif candidate.area.contains(condition.area) and (best is None or _smaller(candidate.area, best.area)):
            best = candidate
    if best is not None and best.area != condition.area:
        own = best.condition
        text = replace(condition.condition, tokens=own.tokens, pooled=own.pooled, extra=own.extra)
        side.append(replace(condition, condition=text, inputs=best.inputs, control_inputs=best.control_inputs))


def _smaller(area: Rectangle, than: Rectangle | None) -> bool:
    return than is None or area.height * area.width < than.height * than.width


def fitted_mask(mask: Tensor, height: int, width: int) -> Tensor:
    """A mask [height, width] or [..., height, width] of any size as [batch, 1, height, width], bilinear."""
    mask = mask.reshape(-1, 1, *mask.shape[-2:]).float()
    if mask.shape[-2:] != (height, width):
        mask = functional.interpolate(mask, size=(height, width), mode="bilinear")
    return mask
