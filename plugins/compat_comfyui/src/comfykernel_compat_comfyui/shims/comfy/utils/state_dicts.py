"""State dicts: names of weights, their number, their precision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor

UNET_MAP_ATTENTIONS: Final = {
    f"{name}.{kind}" for name in ("proj_in", "proj_out", "norm") for kind in ("weight", "bias")
}
"""Weights around the transformer blocks of one stage; their names are the same in both layouts."""

_ATTENTION: Final = ("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn2.to_q", "attn2.to_k", "attn2.to_v")
_BOTH: Final = (
    "norm1", "norm2", "norm3", "attn1.to_out.0", "attn2.to_out.0", "ff.net.0.proj", "ff.net.2",
)  # fmt: skip
TRANSFORMER_BLOCKS: Final = {f"{name}.weight" for name in (*_ATTENTION, *_BOTH)} | {f"{name}.bias" for name in _BOTH}
"""Weights of one transformer block; their names are the same in both layouts."""

UNET_MAP_RESNET: Final = {
    f"{original}.{kind}": f"{diffusers}.{kind}"
    for original, diffusers in (
        ("in_layers.2", "conv1"), ("emb_layers.1", "time_emb_proj"), ("out_layers.3", "conv2"),
        ("skip_connection", "conv_shortcut"), ("in_layers.0", "norm1"), ("out_layers.0", "norm2"),
    )
    for kind in ("weight", "bias")
}  # fmt: skip
"""Names of a residual block's weights in the original layout -> in that of diffusers."""

UNET_MAP_BASIC: Final = {
    (f"{original}.{kind}", f"{diffusers}.{kind}")
    for original, diffusers in (
        ("label_emb.0.0", "class_embedding.linear_1"), ("label_emb.0.2", "class_embedding.linear_2"),
        ("label_emb.0.0", "add_embedding.linear_1"), ("label_emb.0.2", "add_embedding.linear_2"),
        ("input_blocks.0.0", "conv_in"), ("out.0", "conv_norm_out"), ("out.2", "conv_out"),
        ("time_embed.0", "time_embedding.linear_1"), ("time_embed.2", "time_embedding.linear_2"),
    )
    for kind in ("weight", "bias")
}  # fmt: skip
"""Pairs (original, diffusers) of the weights that stand outside of the stages."""


def state_dict_key_replace(state_dict: dict[str, Any], keys_to_replace: Mapping[str, str]) -> dict[str, Any]:
    """Rename single entries in place."""
    for old, new in keys_to_replace.items():
        if old in state_dict:
            state_dict[new] = state_dict.pop(old)
    return state_dict


def state_dict_prefix_replace(
    state_dict: dict[str, Any], replace_prefix: Mapping[str, str], filter_keys: bool = False
) -> dict[str, Any]:
    """Give entries that begin with a prefix another one.

    In place; with ``filter_keys`` a new dict of the renamed entries alone.
    """
    target: dict[str, Any] = {} if filter_keys else state_dict
    for old, new in replace_prefix.items():
        for key in [key for key in state_dict if key.startswith(old)]:
            target[new + key[len(old) :]] = state_dict.pop(key)
    return target


def calculate_parameters(sd: Mapping[str, Tensor], prefix: str = "") -> int:
    """How many numbers the tensors below a prefix hold."""
    return sum(tensor.nelement() for key, tensor in sd.items() if key.startswith(prefix))


def weight_dtype(sd: Mapping[str, Tensor], prefix: str = "") -> torch.dtype | None:
    """The precision that most numbers below a prefix have; ``None`` without any."""
    numbers: Counter[torch.dtype] = Counter()
    for key, tensor in sd.items():
        if key.startswith(prefix):
            numbers[tensor.dtype] += tensor.numel()
    return numbers.most_common(1)[0][0] if numbers else None


def unet_to_diffusers(unet_config: Mapping[str, Any]) -> dict[str, str]:
    """Names of a UNet's weights in the layout of diffusers -> in the original layout.

    ``unet_config`` has ``num_res_blocks`` and ``channel_mult`` (a number for each level), ``transformer_depth`` and
    ``transformer_depth_output`` (a number for each residual block) and ``transformer_depth_middle``.
    """
    if "num_res_blocks" not in unet_config:
        return {}
    counts: Sequence[int] = unet_config["num_res_blocks"]
    depths = list(unet_config["transformer_depth"])
    output_depths = list(unet_config["transformer_depth_output"])
    names: dict[str, str] = {}
    stage = 1
    for level, count in enumerate(counts):
        for index in range(count):
            _add_block(names, f"down_blocks.{level}", index, f"input_blocks.{stage + index}", depths.pop(0))
        stage += count
        if level + 1 < len(counts):
            for kind in ("weight", "bias"):
                names[f"down_blocks.{level}.downsamplers.0.conv.{kind}"] = f"input_blocks.{stage}.0.op.{kind}"
        stage += 1
    _add_middle(names, int(unet_config["transformer_depth_middle"]))
    stage = 0
    for level, count in enumerate(reversed(counts)):
        for index in range(count + 1):
            depth = output_depths.pop() if output_depths else 0
            _add_block(names, f"up_blocks.{level}", index, f"output_blocks.{stage}", depth)
            if index == count and level + 1 < len(counts):
                place = 2 if depth else 1
                for kind in ("weight", "bias"):
                    names[f"up_blocks.{level}.upsamplers.0.conv.{kind}"] = f"output_blocks.{stage}.{place}.conv.{kind}"
            stage += 1
    names.update({diffusers: original for original, diffusers in UNET_MAP_BASIC})
    return names


def _add_block(names: dict[str, str], block: str, index: int, stage: str, depth: int) -> None:
    for original, diffusers in UNET_MAP_RESNET.items():
        names[f"{block}.resnets.{index}.{diffusers}"] = f"{stage}.0.{original}"
    if depth:
        _add_transformers(names, f"{block}.attentions.{index}", f"{stage}.1", depth)


def _add_middle(names: dict[str, str], depth: int) -> None:
    _add_transformers(names, "mid_block.attentions.0", "middle_block.1", depth)
    for index, place in enumerate((0, 2)):
        for original, diffusers in UNET_MAP_RESNET.items():
            names[f"mid_block.resnets.{index}.{diffusers}"] = f"middle_block.{place}.{original}"


def _add_transformers(names: dict[str, str], diffusers: str, original: str, depth: int) -> None:
    for name in UNET_MAP_ATTENTIONS:
        names[f"{diffusers}.{name}"] = f"{original}.{name}"
    for number in range(depth):
        for name in TRANSFORMER_BLOCKS:
            block = f"transformer_blocks.{number}.{name}"
            names[f"{diffusers}.{block}"] = f"{original}.{block}"
