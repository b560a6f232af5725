"""Colour spaces: sRGB, linear light, CIELAB, and the encodings of bright pictures."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

# IEC 61966-2-1: linear sRGB to CIE XYZ under D65.
RGB_TO_XYZ: Final = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
WHITE: Final = (0.95047, 1.0, 1.08883)

# CIE 15: where the cube root of CIELAB goes over into a straight line.
EPSILON: Final = 216.0 / 24389.0
KAPPA: Final = 24389.0 / 27.0

# ITU-R BT.2100, table 5: hybrid log-gamma.
HLG_A, HLG_B, HLG_C = 0.17883277, 0.28466892, 0.55991073


def linear_light(encoded: Tensor) -> Tensor:
    """sRGB values as linear light; negative values are mirrored (IEC 61966-2-1)."""
    size = encoded.abs()
    return torch.where(size <= 0.04045, size / 12.92, ((size + 0.055) / 1.055) ** 2.4) * encoded.sign()


def encoded_light(linear: Tensor) -> Tensor:
    """Linear light as sRGB values; negative values are mirrored."""
    size = linear.abs()
    return torch.where(size <= 0.0031308, size * 12.92, 1.055 * size ** (1.0 / 2.4) - 0.055) * linear.sign()


def scene_light(encoded: Tensor) -> Tensor:
    """Values of hybrid log-gamma as linear light of the scene, 0..1 (ITU-R BT.2100, inverse OETF)."""
    value = encoded.clamp(min=0.0)
    return torch.where(value <= 0.5, value * value / 3.0, (torch.exp((value - HLG_C) / HLG_A) + HLG_B) / 12.0)


def to_lab(image: Tensor) -> Tensor:
    """sRGB [..., 3] as CIELAB [..., 3] under D65: lightness 0..100, two colour axes around 0."""
    matrix = torch.tensor(RGB_TO_XYZ).to(image)
    xyz = linear_light(image) @ matrix.T / torch.tensor(WHITE).to(image)
    x, y, z = torch.where(xyz > EPSILON, xyz.clamp(min=EPSILON) ** (1.0 / 3.0), (KAPPA * xyz + 16.0) / 116.0).unbind(-1)
    return torch.stack([116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)], dim=-1)


def from_lab(lab: Tensor) -> Tensor:
    """CIELAB [..., 3] as sRGB [..., 3], which may lie outside of 0..1."""
    lightness, a, b = lab.unbind(-1)
    y = (lightness + 16.0) / 116.0
    roots = torch.stack([y + a / 500.0, y, y - b / 200.0], dim=-1)
    xyz = torch.where(roots**3 > EPSILON, roots**3, (116.0 * roots - 16.0) / KAPPA) * torch.tensor(WHITE).to(lab)
    return encoded_light(xyz @ torch.linalg.inv(torch.tensor(RGB_TO_XYZ).to(lab)).T)
