"""FreeU: stronger backbone features and weaker low frequencies of the skip connections in a UNet's output half.

Si et al. 2023, arXiv:2309.11497: version 1 scales the first half of the backbone's channels by a number, version 2 by a
map that follows the mean feature; both damp the middle of the skip's spectrum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.hook_points import Point, Site
from comfykernel_core_nodes.diffusion.unet_facts import unet_channels

# Half the side of the square of low frequencies that is scaled.
LOW_FREQUENCIES: Final = 1

# How the first half of the backbone's channels is scaled: (map, strength) -> factor that broadcasts over them.
Factor = Callable[[Tensor, float], Tensor | float]


def free_u(model: DiffusionModel, *, b1: float, b2: float, s1: float, s2: float) -> DiffusionModel:
    """A model with FreeU, version 1: `b1`, `s1` on the widest blocks, `b2`, `s2` on those of half that width."""
    return _with_free_u(model, _constant, (b1, s1), (b2, s2))


def free_u_v2(model: DiffusionModel, *, b1: float, b2: float, s1: float, s2: float) -> DiffusionModel:
    """A model with FreeU, version 2: parts where the mean feature is large are scaled more."""
    return _with_free_u(model, _by_mean_feature, (b1, s1), (b2, s2))


def _with_free_u(
    model: DiffusionModel, factor: Factor, widest: tuple[float, float], half: tuple[float, float]
) -> DiffusionModel:
    channels = unet_channels(model, "FreeU")
    by_width = {channels * 4: widest, channels * 2: half}

    def change(x: Tensor, skip: Tensor, _: Site) -> tuple[Tensor, Tensor]:
        if x.shape[1] not in by_width:
            return x, skip
        backbone, low = by_width[x.shape[1]]
        middle = x.shape[1] // 2
        scaled = x[:, :middle] * factor(x, backbone)
        return torch.cat([scaled, x[:, middle:]], dim=1), scaled_low_frequencies(skip, LOW_FREQUENCIES, low)

    return model.with_hook(Point.OUTPUT_BLOCK, change)


def _constant(_: Tensor, strength: float) -> float:
    return strength


def _by_mean_feature(x: Tensor, strength: float) -> Tensor:
    mean = x.mean(dim=1, keepdim=True)
    least, most = mean.amin(dim=(1, 2, 3), keepdim=True), mean.amax(dim=(1, 2, 3), keepdim=True)
    # A map that is the same everywhere stays as it is.
    spread = (most - least).clamp(min=torch.finfo(x.dtype).tiny)
    return (mean - least) / spread * (strength - 1.0) + 1.0


def scaled_low_frequencies(x: Tensor, radius: int, factor: float) -> Tensor:
    """Maps [..., height, width] with the frequencies nearer to 0 than `radius`, in both directions, times a factor."""
    height, width = x.shape[-2:]
    # Transforms of half precision want sides that are powers of two.
    spectrum = torch.fft.fftshift(torch.fft.fft2(x.float()), dim=(-2, -1))
    scale = torch.ones(height, width, device=x.device)
    scale[height // 2 - radius : height // 2 + radius, width // 2 - radius : width // 2 + radius] = factor
    filtered: Tensor = torch.fft.ifft2(torch.fft.ifftshift(spectrum * scale, dim=(-2, -1))).real
    return filtered.to(x.dtype)
