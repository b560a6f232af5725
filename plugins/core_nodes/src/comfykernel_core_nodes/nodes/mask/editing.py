"""Nodes that change masks: parts, edges, growth, thresholds, one mask on another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import torch
from torch import Tensor
from torch.nn import functional

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.image.channels import cycled
from comfykernel_core_nodes.nodes.image.morphology import dilated, eroded
from comfykernel_core_nodes.nodes.sockets import MAX_SIDE, Offset, Side
from comfykernel_sdk.sockets import Choice, Float, Image, Int, Mask, Toggle

mask_node = extra_node("nodes_mask")

LARGEST_DIAMOND: Final = 64
"""Pixels that a mask grows by at once: the margin that this needs is as wide."""

Feather = Annotated[int, Int(default=0, min=0, max=MAX_SIDE, step=1)]


def flat(mask: Tensor) -> Tensor:
    """A mask of any number of leading dimensions as [batch, height, width]."""
    return mask.reshape(-1, *mask.shape[-2:])


@mask_node("ImageColorToMask", category="mask")
def image_color_to_mask(
    image: Image, color: Annotated[int, Int(default=0, min=0, max=0xFFFFFF, step=1, display="color")]
) -> Mask:
    """Mark the pixels that have exactly a colour, given as 0xRRGGBB, at 8 bits a channel."""
    values = (image[..., :3].clamp(0.0, 1.0) * 255.0).round().int()
    red, green, blue = values.expand(*values.shape[:-1], 3).unbind(-1)
    return ((red << 16) + (green << 8) + blue == color).float()


@mask_node("InvertMask", category="mask")
def invert_mask(mask: Mask) -> Mask:
    """Exchange what is masked and what is not."""
    return 1.0 - mask


@mask_node("CropMask", category="mask")
def crop_mask(mask: Mask, x: Offset, y: Offset, width: Side, height: Side) -> Mask:
    """Cut a rectangle out; what of it lies outside is left away, at least one pixel stays."""
    mask = flat(mask)
    x, y = min(x, mask.shape[2] - 1), min(y, mask.shape[1] - 1)
    return mask[:, y : y + height, x : x + width]


MASK_OPERATIONS: Final[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "multiply": torch.mul,
    "add": torch.add,
    "subtract": torch.sub,
    "and": lambda a, b: (a.round().bool() & b.round().bool()).float(),
    "or": lambda a, b: (a.round().bool() | b.round().bool()).float(),
    "xor": lambda a, b: (a.round().bool() ^ b.round().bool()).float(),
}


@mask_node("MaskComposite", category="mask")
def mask_composite(
    destination: Mask,
    source: Mask,
    x: Offset,
    y: Offset,
    operation: Annotated[str, Choice(*MASK_OPERATIONS, bare=True)],
) -> Mask:
    """Combine a mask with another one at a place; values stay between 0 and 1.

    The shorter batch is repeated. What of the second mask lies outside of the first is left away.
    """
    base, source = flat(destination), flat(source)
    batch = max(len(base), len(source))
    base, source = cycled(base, batch).clone(), cycled(source, batch)
    part = source[:, : max(0, base.shape[1] - y), : max(0, base.shape[2] - x)]
    place = (slice(None), slice(y, y + part.shape[1]), slice(x, x + part.shape[2]))
    base[place] = MASK_OPERATIONS[operation](base[place], part)
    return base.clamp(0.0, 1.0)


@mask_node("FeatherMask", category="mask")
def feather_mask(mask: Mask, left: Feather, top: Feather, right: Feather, bottom: Feather) -> Mask:
    """Fade a mask out towards its edges, over a number of pixels at each.

    The ramps of the right and lower edge start one step further out than the others, and their first step falls on
    the first column or row: workflows are tuned to these values.
    """
    result = flat(mask)
    height, width = result.shape[-2:]
    across = _ramp(width, left, torch.arange(min(left, width))) * _ramp(width, right, -torch.arange(min(right, width)))
    down = _ramp(height, top, torch.arange(min(top, height))) * _ramp(
        height, bottom, -torch.arange(min(bottom, height))
    )
    return result * across.view(1, 1, -1) * down.view(1, -1, 1)


def _ramp(size: int, feather: int, places: Tensor) -> Tensor:
    """Factors [size]: at the n-th place (n + 1) / feather, 1 elsewhere; negative places count from the end."""
    factors = torch.ones(size)
    factors[places] = (torch.arange(len(places)) + 1.0) / max(1, min(feather, size))
    return factors


@mask_node("GrowMask", category="mask")
def grow_mask(
    mask: Mask,
    expand: Annotated[int, Int(default=0, min=-MAX_SIDE, max=MAX_SIDE, step=1)],
    tapered_corners: Annotated[bool, Toggle(default=True)],
) -> Mask:
    """Widen a mask by a number of pixels, or shrink it by a negative one.

    Tapered corners grow to a diamond, others to a square.
    """
    mask = flat(mask)
    steps = min(abs(expand), sum(mask.shape[-2:]))
    if steps == 0:
        return mask
    if not tapered_corners:
        size = 2 * min(steps, max(mask.shape[-2:])) + 1
        return (dilated if expand > 0 else eroded)(mask.unsqueeze(1), size)[:, 0]
    sign = 1.0 if expand > 0 else -1.0
    grown = mask * sign
    for done in range(0, steps, LARGEST_DIAMOND):
        grown = _diamond(grown, min(LARGEST_DIAMOND, steps - done))
    return grown * sign


def _diamond(mask: Tensor, radius: int) -> Tensor:
    """The largest value within ``radius`` steps along rows and columns of each place of [batch, height, width].

    Four diamonds of radius r, moved by s <= r in the four directions, cover that of radius r + s.
    """
    values = functional.pad(mask, (radius,) * 4, value=-torch.inf)
    reached = 0
    while reached < radius:
        step = max(1, min(reached, radius - reached))
        grown = values.clone()
        for dimension in (1, 2):
            length = values.shape[dimension] - step
            for to, from_ in ((0, step), (step, 0)):
                part = grown.narrow(dimension, to, length)
                torch.maximum(part, values.narrow(dimension, from_, length), out=part)
        values, reached = grown, reached + step
    return values[:, radius:-radius, radius:-radius]


@mask_node("ThresholdMask", category="mask")
def threshold_mask(mask: Mask, value: Annotated[float, Float(default=0.5, min=0.0, max=1.0, step=0.01)]) -> Mask:
    """Mask wholly what is masked by more than a value, and nothing else."""
    return (mask > value).float()
