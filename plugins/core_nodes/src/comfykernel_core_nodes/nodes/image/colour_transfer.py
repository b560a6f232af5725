"""The node that gives images the colours of others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, Literal, TypeAlias, TypedDict

import torch
from torch import Tensor

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.image.colour_spaces import from_lab, to_lab
from comfykernel_sdk.sockets import Choice, Float, Image, Int, Out

post_node = extra_node("nodes_post_processing")

Transfer: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From frames [..., 3], and from pixels [pixel, 3] whose colours are to become those of other pixels, to frames."""

SMALLEST_SPREAD: Final = 1e-5
"""A spread below this counts as this: one colour can't be stretched."""

LEVELS: Final = 256


class PerFrame(TypedDict):
    """Each frame is measured by itself."""

    source_stats: Literal["per_frame"]


class Uniform(TypedDict):
    """All frames are measured together."""

    source_stats: Literal["uniform"]


class TargetFrame(TypedDict):
    """One frame is measured for all."""

    source_stats: Literal["target_frame"]
    target_index: Annotated[int, Int(default=0, min=0, max=10000)]


def reinhard(frames: Tensor, source: Tensor, wanted: Tensor) -> Tensor:
    """Means and spreads of lightness and both colour axes (Reinhard et al., Color Transfer between Images, 2001)."""
    have, want = to_lab(source), to_lab(wanted)
    scale = want.std(0, correction=0) / have.std(0, correction=0).clamp(min=SMALLEST_SPREAD)
    return from_lab((to_lab(frames) - have.mean(0)) * scale + want.mean(0))


def monge_kantorovich(frames: Tensor, source: Tensor, wanted: Tensor) -> Tensor:
    """The linear map of least change that brings the covariances together.

    Pitié and Kokaram, The linear Monge-Kantorovitch linear colour mapping for example-based colour transfer, 2007.
    """
    have, want = to_lab(source).double(), to_lab(wanted).double()
    root = _root(_covariance(have))
    inverse = torch.linalg.inv(root)
    matrix = inverse @ _root(root @ _covariance(want) @ root) @ inverse
    return from_lab(((to_lab(frames).double() - have.mean(0)) @ matrix.T + want.mean(0)).to(frames))


def _covariance(pixels: Tensor) -> Tensor:
    centred = pixels - pixels.mean(0)
    return centred.T @ centred / len(pixels) + SMALLEST_SPREAD * torch.eye(3).to(pixels)


def _root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = vectors @ torch.diag(values.clamp(min=0.0).sqrt()) @ vectors.T
    return root


def histogram_matching(frames: Tensor, source: Tensor, wanted: Tensor) -> Tensor:
    """Each colour gets the histogram of the other one (Gonzalez and Woods, Digital Image Processing, 3.3)."""
    matched = [_matched(frames[..., c], source[:, c], wanted[:, c]) for c in range(3)]
    return torch.stack(matched, dim=-1)


def _matched(values: Tensor, source: Tensor, wanted: Tensor) -> Tensor:
    have, want = (torch.histc(each.float(), LEVELS, 0.0, 1.0).cumsum(0) / len(each) for each in (source, wanted))
    levels = torch.searchsorted(want.contiguous(), have.contiguous()).clamp(max=LEVELS - 1).to(values) / (LEVELS - 1)
    place = values.clamp(0.0, 1.0) * (LEVELS - 1)
    below = place.floor().long()
    above = (below + 1).clamp(max=LEVELS - 1)
    return levels[below] + (place - below) * (levels[above] - levels[below])


METHODS: Final[dict[str, Transfer]] = {
    "reinhard_lab": reinhard, "mkl_lab": monge_kantorovich, "histogram": histogram_matching
}  # fmt: skip


@post_node("ColorTransfer", category="image/color", display_name="Transfer Color")
def color_transfer(
    image_target: Image,
    image_ref: Image,
    method: Annotated[str, Choice(*METHODS)],
    source_stats: Annotated[PerFrame | Uniform | TargetFrame, Choice(tooltip="Which frames are measured.")],
    strength: Annotated[float, Float(default=1.0, min=0.0, max=10.0, step=0.01)],
) -> Annotated[Image, Out("image")]:
    """Give images the colours of a reference, in brightness, contrast and tint. Transparency stays.

    Frame by frame, each has the reference of its number, or the last one; otherwise all references count together.

    Args:
        strength: 0 leaves the images as they are, 1 changes them wholly.
    """
    if strength == 0.0:
        return image_target
    colours, wanted, transfer = image_target[..., :3], image_ref[..., :3], METHODS[method]
    if source_stats["source_stats"] == "per_frame":
        changed = torch.stack([
            transfer(frame, frame.reshape(-1, 3), wanted[min(number, len(wanted) - 1)].reshape(-1, 3))
            for number, frame in enumerate(colours)
        ])  # fmt: skip
    else:
        measured = colours
        if source_stats["source_stats"] == "target_frame":
            measured = colours[min(source_stats["target_index"], len(colours) - 1)]
        changed = transfer(colours, measured.reshape(-1, 3), wanted.reshape(-1, 3))
    mixed = (colours + (changed - colours) * strength).clamp(0.0, 1.0)
    return torch.cat([mixed, image_target[..., 3:]], dim=-1)
