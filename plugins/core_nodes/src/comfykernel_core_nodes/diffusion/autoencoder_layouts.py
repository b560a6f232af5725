"""Names of an autoencoder's tensors in the layout of diffusers, for files that come in it."""

from __future__ import annotations

import re
from typing import Final

from comfykernel_core_nodes.diffusion.model_header import rearranged
from comfykernel_sdk.families import Made, ModelHeader

DIFFUSERS_MARK: Final = "decoder.mid_block.resnets.0.conv1.weight"

_ATTENTION: Final = {
    "group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out",
    "query": "q", "key": "k", "value": "v", "proj_attn": "proj_out",
}  # fmt: skip
_RULES: Final = (
    (re.compile(r"(encoder|decoder)\.mid_block\.attentions\.0\.(.+)\.(weight|bias)"), "attention"),
    (re.compile(r"(encoder|decoder)\.mid_block\.resnets\.(\d)\.(.+)"), "middle"),
    (re.compile(r"encoder\.down_blocks\.(\d+)\.(resnets\.(\d+)|downsamplers\.0)\.(.+)"), "down"),
    (re.compile(r"decoder\.up_blocks\.(\d+)\.(resnets\.(\d+)|upsamplers\.0)\.(.+)"), "up"),
)


def original_names(header: ModelHeader) -> dict[str, str | Made]:
    """The tensors of a diffusers autoencoder by their names in the original layout."""
    levels = 0
    while f"decoder.up_blocks.{levels}.resnets.0.conv1.weight" in header.shapes:
        levels += 1
    tensors: dict[str, str | Made] = {}
    for name, full in header.names.items():
        target, attention = _original_name(name, levels)
        # Attention was a linear layer there and is a 1x1 convolution here.
        linear = attention and len(header.shapes[name]) == 2
        tensors[target] = rearranged(full, lambda matrix: matrix[:, :, None, None]) if linear else full
    return tensors


def _original_name(name: str, levels: int) -> tuple[str, bool]:
    for pattern, kind in _RULES:
        match = pattern.fullmatch(name)
        if match is None:
            continue
        if kind == "attention":
            return f"{match[1]}.mid.attn_1.{_ATTENTION.get(match[2], match[2])}.{match[3]}", True
        if kind == "middle":
            return f"{match[1]}.mid.block_{int(match[2]) + 1}.{_inner(match[3])}", False
        level = int(match[1]) if kind == "down" else levels - 1 - int(match[1])
        half, change = ("encoder", "downsample") if kind == "down" else ("decoder", "upsample")
        part = change if match[3] is None else f"block.{match[3]}"
        return f"{half}.{kind}.{level}.{part}.{_inner(match[4])}", False
    return name.replace("conv_norm_out", "norm_out"), False


def _inner(name: str) -> str:
    return name.replace("conv_shortcut", "nin_shortcut")
