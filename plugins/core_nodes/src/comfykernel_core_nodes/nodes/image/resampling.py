"""Resizing of images and latents: interpolation, Lanczos in 8 bits, and spherical interpolation of latents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import numpy as np
import torch
from PIL import Image as PillowImage
from torch import Tensor
from torch.nn import functional

Crop: TypeAlias = Literal["disabled", "center"]

# Channel vectors whose cosine is closer to 1 or -1 than this span no usable plane: they are not turned.
PARALLEL: Final = 1e-5


def resize(samples: Tensor, width: int, height: int, method: str, crop: str = "disabled") -> Tensor:
    """Resize [batch, channel, height, width] to ``width`` by ``height``; films have their frames as the third axis.

    ``method`` is ``nearest-exact``, ``bilinear``, ``area``, ``bicubic``, ``lanczos`` (8-bit precision, values 0..1) or
    ``bislerp`` (latents). ``crop="center"`` first cuts the samples to the new aspect ratio.
    """
    if samples.ndim == 5:
        frames = resize(samples.movedim(2, 1).flatten(0, 1), width, height, method, crop)
        film: Tensor = frames.unflatten(0, (samples.shape[0], samples.shape[2]))
        return film.movedim(1, 2)
    if crop == "center":
        samples = crop_to_aspect(samples, width, height)
    own = OWN_METHODS.get(method)
    if own is not None:
        return own(samples, width, height)
    return functional.interpolate(samples, size=(height, width), mode=method)


def resize_image(image: Tensor, width: int, height: int, method: str, crop: str = "disabled") -> Tensor:
    """Resize an image [batch, height, width, channel]; see :func:`resize`."""
    return resize(image.movedim(-1, 1), width, height, method, crop).movedim(1, -1)


def crop_to_aspect(samples: Tensor, width: int, height: int) -> Tensor:
    """Cut equal margins off [..., height, width], so that the rest has the aspect ratio ``width`` to ``height``."""
    old_height, old_width = samples.shape[-2:]
    old_aspect, new_aspect = old_width / old_height, width / height
    x = round((old_width - old_width * (new_aspect / old_aspect)) / 2) if old_aspect > new_aspect else 0
    y = round((old_height - old_height * (old_aspect / new_aspect)) / 2) if old_aspect < new_aspect else 0
    return samples[..., y : old_height - y, x : old_width - x]


def lanczos(samples: Tensor, width: int, height: int) -> Tensor:
    """Resize [batch, channel, height, width] of 0..1 by Pillow's Lanczos filter; the result has 8-bit precision."""
    resized = []
    for sample in samples.movedim(1, -1).cpu().float().numpy():
        pixels = np.clip(255.0 * sample, 0, 255).astype(np.uint8)
        picture = PillowImage.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)
        picture = picture.resize((width, height), resample=PillowImage.Resampling.LANCZOS)
        resized.append(torch.from_numpy(np.array(picture).astype(np.float32) / 255.0).reshape(height, width, -1))
    return torch.stack(resized).movedim(-1, 1).to(samples.device, samples.dtype)


def bislerp(samples: Tensor, width: int, height: int) -> Tensor:
    """Resize [batch, channel, height, width] like bilinear, but along arcs: channel vectors are turned, not averaged.

    Interpolating two latents in a straight line shortens them, which blurs; on the arc the length is interpolated
    by itself (Shoemake, Animating Rotation with Quaternion Curves, 1985, eq. for slerp).
    """
    result = _slerp_along_width(samples.float(), width)
    return _slerp_along_width(result.transpose(-1, -2), height).transpose(-1, -2).to(samples.dtype)


def _slerp_along_width(samples: Tensor, width: int) -> Tensor:
    old = samples.shape[-1]
    # The sampling positions of bilinear interpolation with pixel centres at halves.
    position = ((torch.arange(width, device=samples.device) + 0.5) * (old / width) - 0.5).clamp(0, old - 1)
    left = position.floor().long()
    right = (left + 1).clamp(max=old - 1)
    return slerp(samples[..., left], samples[..., right], position - left)


def slerp(a: Tensor, b: Tensor, ratio: Tensor) -> Tensor:
    """Vectors on the arc from ``a`` (ratio 0) to ``b`` (ratio 1); [batch, channel, ...], vectors along dimension 1."""
    length_a, length_b = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
    unit_a, unit_b = (torch.nan_to_num(v / n) for v, n in ((a, length_a), (b, length_b)))
    cosine = (unit_a * unit_b).sum(1, keepdim=True)
    angle = torch.acos(cosine.clamp(-1.0, 1.0))
    arc = (torch.sin((1.0 - ratio) * angle) * unit_a + torch.sin(ratio * angle) * unit_b) / torch.sin(angle)
    arc = arc * (length_a * (1.0 - ratio) + length_b * ratio)
    arc = torch.where(cosine > 1.0 - PARALLEL, a, arc)
    return torch.where(cosine < PARALLEL - 1.0, a * (1.0 - ratio) + b * ratio, arc)


OWN_METHODS: Final[dict[str, Callable[[Tensor, int, int], Tensor]]] = {"lanczos": lanczos, "bislerp": bislerp}
