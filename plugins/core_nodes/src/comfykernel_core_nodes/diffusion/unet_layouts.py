"""Names of a UNet's tensors in the layout of diffusers, for UNets and control networks that come in it."""

from __future__ import annotations

import re
from typing import Final

from comfykernel_core_nodes.diffusion.model_header import Header

DIFFUSERS_MARK: Final = "down_blocks.0.resnets.0.conv1.weight"

_OUTER_NAMES: Final = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "class_embedding.linear_1": "label_emb.0.0",
    "class_embedding.linear_2": "label_emb.0.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "controlnet_mid_block": "middle_block_out.0",
    "controlnet_cond_embedding.conv_in": "input_hint_block.0",
    "controlnet_cond_embedding.conv_out": "input_hint_block.14",
}
_RESIDUAL_NAMES: Final = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_BLOCK: Final = re.compile(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)")
_MIDDLE: Final = re.compile(r"mid_block\.(resnets|attentions)\.(\d+)\.(.+)")
_ZERO: Final = re.compile(r"controlnet_down_blocks\.(\d+)\.(weight|bias)")
_HINT: Final = re.compile(r"controlnet_cond_embedding\.blocks\.(\d+)\.(weight|bias)")


def original_layout(header: Header) -> Header:
    """The same tensors by their names in the original layout; a header that has that layout as it is."""
    if DIFFUSERS_MARK not in header.shapes:
        return header
    return header.renamed({_original_name(name, header): name for name in header.shapes})


def _original_name(name: str, header: Header) -> str:
    if match := _BLOCK.fullmatch(name):
        return _block_name(match, header)
    if match := _MIDDLE.fullmatch(name):
        place = 1 if match[1] == "attentions" else int(match[2]) * 2
        return f"middle_block.{place}.{_inner(match[3])}"
    if match := _ZERO.fullmatch(name):
        return f"zero_convs.{match[1]}.0.{match[2]}"
    if match := _HINT.fullmatch(name):
        return f"input_hint_block.{2 + 2 * int(match[1])}.{match[2]}"
    module, _, ending = name.rpartition(".")
    return f"{_OUTER_NAMES[module]}.{ending}" if module in _OUTER_NAMES else name


def _block_name(match: re.Match[str], header: Header) -> str:
    half, level, part, number, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
    count = _residual_blocks(header, f"{half}_blocks.{level}")
    before = sum(_residual_blocks(header, f"{half}_blocks.{n}") for n in range(level))
    if half == "down":
        first = 1 + before + level
        if part == "downsamplers":
            return f"input_blocks.{first + count}.0.op.{rest.removeprefix('conv.')}"
        return f"input_blocks.{first + number}.{int(part == 'attentions')}.{_inner(rest)}"
    if part == "upsamplers":
        attended = f"up_blocks.{level}.attentions.0.norm.weight" in header.shapes
        return f"output_blocks.{before + count - 1}.{1 + attended}.{rest}"
    return f"output_blocks.{before + number}.{int(part == 'attentions')}.{_inner(rest)}"


def _residual_blocks(header: Header, block: str) -> int:
    count = 0
    while f"{block}.resnets.{count}.conv1.weight" in header.shapes:
        count += 1
    return count


def _inner(rest: str) -> str:
    module, _, ending = rest.rpartition(".")
    return f"{_RESIDUAL_NAMES.get(module, module)}.{ending}"
