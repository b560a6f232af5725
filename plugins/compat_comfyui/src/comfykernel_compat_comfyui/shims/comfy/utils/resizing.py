"""Resizing of batches [batch, channel, height, width]."""

from __future__ import annotations

from torch import Tensor

from comfykernel_compat_comfyui.diffusion_bridge.library import resampling


def common_upscale(samples: Tensor, width: int, height: int, upscale_method: str, crop: str) -> Tensor:
    """Resize to ``width`` by ``height``; ``crop="center"`` cuts to the new aspect ratio first.

    Latents of video [batch, channel, frames, height, width] are resized frame by frame.
    """
    if samples.ndim <= 4:
        return resampling.resize(samples, width, height, upscale_method, crop)
    batch, channels, *frames, old_height, old_width = samples.shape
    flat = samples.movedim(1, -3).reshape(-1, channels, old_height, old_width)
    resized = resampling.resize(flat, width, height, upscale_method, crop)
    return resized.reshape(batch, *frames, channels, height, width).movedim(-3, 1)


def lanczos(samples: Tensor, width: int, height: int) -> Tensor:
    """Resize values in 0..1 by Lanczos' filter in 8-bit precision."""
    return resampling.lanczos(samples, width, height)


def bislerp(samples: Tensor, width: int, height: int) -> Tensor:
    """Resize latents along arcs."""
    return resampling.bislerp(samples, width, height)
