"""Nodes that compose images with transparency. A mask is 1 where a picture is transparent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, TypeAlias

import torch
from torch import Tensor

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.image.channels import cycled, opaque
from comfykernel_core_nodes.nodes.image.resampling import resize, resize_image
from comfykernel_sdk.sockets import Choice, Image, Mask, Socket

compositing_node = extra_node("nodes_compositing")

Picture = Annotated[Image, Socket("IMAGE", bare=False)]
Alpha = Annotated[Mask, Socket("MASK", bare=False)]

INVISIBLE: Final = 1e-5
"""Where the opacity is not above this, the result has no colour."""

Rule: TypeAlias = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""From colours and opacity above and colours and opacity below to both of the result; colours times opacity."""


def _union(sa: Tensor, da: Tensor) -> Tensor:
    return sa + da - sa * da


def _overlay(s: Tensor, sa: Tensor, d: Tensor, da: Tensor) -> tuple[Tensor, Tensor]:
    # Over bright places each colour meets the other one's opacity: workflows are tuned to these values.
    return torch.where(2.0 * d < da, 2.0 * s * d, sa * da - 2.0 * (da - s) * (sa - d)), _union(sa, da)


def _separate(s: Tensor, sa: Tensor, d: Tensor, da: Tensor) -> Tensor:
    return (1.0 - da) * s + (1.0 - sa) * d


RULES: Final[dict[str, Rule]] = {
    "ADD": lambda s, sa, d, da: ((s + d).clamp(0.0, 1.0), (sa + da).clamp(0.0, 1.0)),
    "CLEAR": lambda s, sa, d, da: (torch.zeros_like(d), torch.zeros_like(da)),
    "DARKEN": lambda s, sa, d, da: (_separate(s, sa, d, da) + torch.minimum(s, d), _union(sa, da)),
    "DST": lambda s, sa, d, da: (d, da),
    "DST_ATOP": lambda s, sa, d, da: (sa * d + (1.0 - da) * s, sa),
    "DST_IN": lambda s, sa, d, da: (d * sa, sa * da),
    "DST_OUT": lambda s, sa, d, da: ((1.0 - sa) * d, (1.0 - sa) * da),
    "DST_OVER": lambda s, sa, d, da: (d + (1.0 - da) * s, da + (1.0 - da) * sa),
    "LIGHTEN": lambda s, sa, d, da: (_separate(s, sa, d, da) + torch.maximum(s, d), _union(sa, da)),
    "MULTIPLY": lambda s, sa, d, da: (s * d, sa * da),
    "OVERLAY": _overlay,
    "SCREEN": lambda s, sa, d, da: (s + d - s * d, _union(sa, da)),
    "SRC": lambda s, sa, d, da: (s, sa),
    "SRC_ATOP": lambda s, sa, d, da: (da * s + (1.0 - sa) * d, da),
    "SRC_IN": lambda s, sa, d, da: (s * da, sa * da),
    "SRC_OUT": lambda s, sa, d, da: ((1.0 - da) * s, (1.0 - da) * sa),
    "SRC_OVER": lambda s, sa, d, da: (s + (1.0 - sa) * d, sa + (1.0 - sa) * da),
    "XOR": lambda s, sa, d, da: (_separate(s, sa, d, da), (1.0 - da) * sa + (1.0 - sa) * da),
}
"""Porter and Duff, Compositing Digital Images, 1984, and the blend modes that graphics libraries list with them."""


@compositing_node(
    "PorterDuffImageComposite", category="mask/compositing", display_name="Porter-Duff Image Composite",
    deprecated=False, experimental=False, api_node=False,
)  # fmt: skip
def porter_duff_image_composite(
    source: Picture,
    source_alpha: Alpha,
    destination: Picture,
    destination_alpha: Alpha,
    mode: Annotated[str, Choice(*RULES, default="DST")],
) -> tuple[Image, Mask]:
    """Compose two images with their transparency by one of the rules of Porter and Duff.

    Sizes are those of the destination; there are as many results as the shortest of the inputs has.
    """
    batch = min(len(source), len(source_alpha), len(destination), len(destination_alpha))
    height, width = destination.shape[1:3]
    above = opaque(source, destination.shape[-1])
    if above.shape[1:3] != (height, width):
        above = resize_image(above, width, height, "bicubic", "center")
    sa, da = (1.0 - _fitted(alpha, width, height)[:batch].unsqueeze(-1) for alpha in (source_alpha, destination_alpha))
    colours, alpha = RULES[mode](above[:batch] * sa, sa, destination[:batch] * da, da)
    colours = torch.where(alpha > INVISIBLE, colours / alpha, torch.zeros_like(colours)).clamp(0.0, 1.0)
    return colours, 1.0 - alpha.squeeze(-1)


def _fitted(alpha: Tensor, width: int, height: int) -> Tensor:
    """A mask [batch, height, width] cut and resized to a size."""
    if alpha.shape[-2:] == (height, width):
        return alpha
    return resize(alpha.unsqueeze(1), width, height, "bicubic", "center")[:, 0]


@compositing_node(
    "SplitImageWithAlpha", category="mask/compositing", display_name="Split Image with Alpha",
    deprecated=False, experimental=False, api_node=False,
)  # fmt: skip
def split_image_with_alpha(image: Picture) -> tuple[Image, Mask]:
    """Take the transparency out of images as a mask; images without any are opaque."""
    return image[..., :3], 1.0 - opaque(image, 4)[..., 3]


@compositing_node(
    "JoinImageWithAlpha", category="mask/compositing", display_name="Join Image with Alpha",
    deprecated=False, experimental=False, api_node=False,
)  # fmt: skip
def join_image_with_alpha(image: Picture, alpha: Alpha) -> Image:
    """Make images transparent where a mask is 1. The mask is resized to the images, the shorter batch repeated."""
    height, width = image.shape[1:3]
    mask = alpha.reshape(-1, 1, *alpha.shape[-2:])
    if mask.shape[-2:] != (height, width):
        mask = resize(mask, width, height, "bilinear")
    batch = max(len(image), len(mask))
    opacity = 1.0 - cycled(mask, batch).movedim(1, -1)
    return torch.cat([cycled(image, batch)[..., :3], opacity.to(image)], dim=-1)
