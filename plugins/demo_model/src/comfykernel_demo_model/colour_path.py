"""First weights of the autoencoder: latents are the mean colours of 8x8 pixels, and decode to blocks of them.

Flat pictures are hard to learn through group norms, which remove the level of a plain area. So the way of the colours
is laid by hand: three channels carry them through all residual sums, and in the norm before the last convolution
each colour c shares its group with -c and a large constant, so that mean and deviation of the group hardly depend
on c. After the activation, silu(c) - silu(-c) = c. The encoder keeps these weights; the decoder learns sharp edges
from there.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from comfykernel_demo_model.networks import FAMILY

# Colours of a latent of unit scale, as live previews of SD1.x map them: rgb in -1..1 = latent @ LATENT_TO_RGB.
LATENT_TO_RGB = torch.tensor(
    [[0.3512, 0.2297, 0.3227], [0.3250, 0.4974, 0.2350], [-0.2829, 0.1762, 0.2721], [-0.2120, -0.2616, -0.7177]]
)

GROUP = 3
"""Channels of a group in the two last norms: 96 channels in 32 groups."""

# The constant beside a colour. The larger, the less the deviation depends on the colour (at 30 by 0.2 %).
CONSTANT = 30.0

# Log variance of the latents: practically none.
LOGVAR = -8.0


def rgb_to_latent(rgb: Tensor) -> Tensor:
    """Latents [batch, 4, ...] of unit scale for colours [batch, 3, ...] in -1..1: the least-norm inverse."""
    inverse = torch.linalg.pinv(LATENT_TO_RGB)
    return torch.einsum("co,bc...->bo...", inverse, rgb)


@torch.no_grad()
def lay_colour_path(model: Any) -> None:
    """Give an autoencoder with 96 channels before both last norms its first weights."""
    for parameter in model.encoder.parameters():
        parameter.zero_()
    _trunk(model.encoder)
    _trunk(model.decoder)
    _pick(model.encoder.conv_in, torch.eye(3))
    for level in list(model.encoder.down)[:-1]:
        level.downsample.conv.weight[:3, :3, :2, :2] = torch.eye(3)[:, :, None, None] / 4
    _spread(model.encoder.down[-1].block[0].nin_shortcut)
    _gather(model.encoder.norm_out, model.encoder.conv_out, torch.linalg.pinv(LATENT_TO_RGB).T)
    _lay_scales(model)
    _pick(model.decoder.conv_in, torch.eye(3))
    for level in list(model.decoder.up)[1:]:
        _pick(level.upsample.conv, torch.eye(3))
    _spread(model.decoder.up[0].block[0].nin_shortcut)
    _gather(model.decoder.norm_out, model.decoder.conv_out, torch.eye(3))


def keep_colour_path(decoder: Any) -> None:
    """Keep training from changing the path: what is learned goes beside it and is added by the last convolution."""
    for name, parameter in decoder.named_parameters():
        if name.startswith("conv_out.weight"):
            parameter.register_hook(partial(_without, 1, 3 * GROUP))
        elif name.startswith(("norm_out", "up.0.block.0.nin_shortcut")):
            parameter.register_hook(partial(_without, 0, 3 * GROUP))
        elif name.split(".")[-2] in {"conv_in", "conv2", "proj_out", "nin_shortcut", "conv"}:
            parameter.register_hook(partial(_without, 0, 3))


def _without(axis: int, count: int, gradient: Tensor) -> Tensor:
    """The gradient with zeros for the first `count` channels."""
    gradient = gradient.clone()
    gradient.narrow(axis, 0, count).zero_()
    return gradient


def _lay_scales(model: Any) -> None:
    """Latents of unit scale inside; the 1x1 convolutions divide by the family's factor and multiply again."""
    count = model.config.z_channels
    for layer in (model.quant_conv, model.post_quant_conv):
        layer.weight.zero_()
        layer.bias.zero_()
    model.quant_conv.weight[:count, :count, 0, 0] = torch.eye(count) / FAMILY.latent_scale
    model.quant_conv.bias[count:] = LOGVAR
    model.post_quant_conv.weight[:3, :, 0, 0] = LATENT_TO_RGB.T * FAMILY.latent_scale


def _trunk(half: Any) -> None:
    """Residual branches add nothing yet, and changes of width keep the first three channels."""
    for name, module in half.named_modules():
        if name.endswith(("conv2", "proj_out")):
            module.weight.zero_()
            module.bias.zero_()
        if name.endswith("nin_shortcut"):
            _pick(module, torch.eye(3))


def _pick(layer: nn.Conv2d, matrix: Tensor) -> None:
    """The first output channels become matrix times the first input channels, pixel by pixel."""
    rows, columns = matrix.shape
    middle = layer.kernel_size[0] // 2
    layer.weight[:rows] = 0
    layer.weight[:rows, :columns, middle, middle] = matrix
    assert layer.bias is not None
    layer.bias[:rows] = 0


def _spread(layer: nn.Conv2d) -> None:
    """Each of the three colours fills a group of the next norm: c, -c and the constant."""
    matrix = torch.zeros(3 * GROUP, 3)
    for colour in range(3):
        matrix[GROUP * colour, colour] = 1
        matrix[GROUP * colour + 1, colour] = -1
    _pick(layer, matrix)
    assert layer.bias is not None
    layer.bias[GROUP - 1 : 3 * GROUP : GROUP] = CONSTANT


def _gather(norm: nn.GroupNorm, layer: nn.Conv2d, matrix: Tensor) -> None:
    """Undo the norm's shift and scale, and give matrix times the colours."""
    if norm.num_channels // norm.num_groups != GROUP:
        raise ValueError(f"the colour path needs {GROUP} channels a group, not {norm.num_channels // norm.num_groups}")
    deviation = CONSTANT * 2**0.5 / GROUP
    norm.weight[: 3 * GROUP] = deviation
    norm.bias[: 3 * GROUP] = CONSTANT / GROUP
    norm.weight[3 * GROUP :] = 1
    # The constants have done their work in the norm; behind it their size would only upset what is learned.
    norm.weight[GROUP - 1 : 3 * GROUP : GROUP] = 0
    norm.bias[GROUP - 1 : 3 * GROUP : GROUP] = 0
    layer.weight.zero_()
    assert layer.bias is not None
    layer.bias.zero_()
    middle = layer.kernel_size[0] // 2
    for colour in range(3):
        layer.weight[: len(matrix), GROUP * colour, middle, middle] = matrix[:, colour]
        layer.weight[: len(matrix), GROUP * colour + 1, middle, middle] = -matrix[:, colour]
