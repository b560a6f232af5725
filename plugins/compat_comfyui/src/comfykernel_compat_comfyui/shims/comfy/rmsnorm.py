"""Normalisation by the root mean square."""

from __future__ import annotations

from torch import nn

from comfykernel_compat_comfyui.shims.comfy.ldm.common_dit import rms_norm as rms_norm

RMSNorm = nn.RMSNorm
