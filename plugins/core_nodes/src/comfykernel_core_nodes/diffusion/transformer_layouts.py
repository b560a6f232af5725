"""Names of transformers' tensors in the layout of diffusers: which of ours each is, or is a part of.

Diffusers keeps queries, keys and values apart where the original layouts of SD3 and Flux stack them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.model_header import rearranged, stacked
from comfykernel_sdk.families import Made, ModelHeader, Shape

FLUX_MARK: Final = "transformer_blocks.0.attn.norm_added_q.weight"
SD3_MARK: Final = "transformer_blocks.0.attn.add_q_proj.weight"


class Slot(NamedTuple):
    """Where a module of diffusers stands in ours: the module, and its place among `parts` that are stacked there."""

    module: str
    part: int = 0
    parts: int = 1


_FLUX_OUTER: Final = {
    "time_text_embed.timestep_embedder.linear_1": "time_in.in_layer",
    "time_text_embed.timestep_embedder.linear_2": "time_in.out_layer",
    "time_text_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
    "time_text_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
    "time_text_embed.text_embedder.linear_1": "vector_in.in_layer",
    "time_text_embed.text_embedder.linear_2": "vector_in.out_layer",
    "context_embedder": "txt_in",
    "x_embedder": "img_in",
    "norm_out.linear": "final_layer.adaLN_modulation.1",
    "proj_out": "final_layer.linear",
    "controlnet_x_embedder": "pos_embed_input",
}
_FLUX_DOUBLE: Final = {
    "norm1.linear": Slot("img_mod.lin"),
    "norm1_context.linear": Slot("txt_mod.lin"),
    "attn.to_q": Slot("img_attn.qkv", 0, 3),
    "attn.to_k": Slot("img_attn.qkv", 1, 3),
    "attn.to_v": Slot("img_attn.qkv", 2, 3),
    "attn.add_q_proj": Slot("txt_attn.qkv", 0, 3),
    "attn.add_k_proj": Slot("txt_attn.qkv", 1, 3),
    "attn.add_v_proj": Slot("txt_attn.qkv", 2, 3),
    "attn.to_out.0": Slot("img_attn.proj"),
    "attn.to_add_out": Slot("txt_attn.proj"),
    "attn.norm_q": Slot("img_attn.norm.query_norm"),
    "attn.norm_k": Slot("img_attn.norm.key_norm"),
    "attn.norm_added_q": Slot("txt_attn.norm.query_norm"),
    "attn.norm_added_k": Slot("txt_attn.norm.key_norm"),
    "ff.net.0.proj": Slot("img_mlp.0"),
    "ff.net.2": Slot("img_mlp.2"),
    "ff_context.net.0.proj": Slot("txt_mlp.0"),
    "ff_context.net.2": Slot("txt_mlp.2"),
}
_FLUX_SINGLE: Final = {
    "norm.linear": Slot("modulation.lin"),
    "attn.to_q": Slot("linear1", 0, 4),
    "attn.to_k": Slot("linear1", 1, 4),
    "attn.to_v": Slot("linear1", 2, 4),
    "proj_mlp": Slot("linear1", 3, 4),
    "proj_out": Slot("linear2"),
    "attn.norm_q": Slot("norm.query_norm"),
    "attn.norm_k": Slot("norm.key_norm"),
}
_SD3_OUTER: Final = {
    "pos_embed.proj": "x_embedder.proj",
    "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
    "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
    "context_embedder": "context_embedder",
    "norm_out.linear": "final_layer.adaLN_modulation.1",
    "proj_out": "final_layer.linear",
}
_SD3_BLOCK: Final = {
    "norm1.linear": Slot("x_block.adaLN_modulation.1"),
    "norm1_context.linear": Slot("context_block.adaLN_modulation.1"),
    "attn.to_q": Slot("x_block.attn.qkv", 0, 3),
    "attn.to_k": Slot("x_block.attn.qkv", 1, 3),
    "attn.to_v": Slot("x_block.attn.qkv", 2, 3),
    "attn.add_q_proj": Slot("context_block.attn.qkv", 0, 3),
    "attn.add_k_proj": Slot("context_block.attn.qkv", 1, 3),
    "attn.add_v_proj": Slot("context_block.attn.qkv", 2, 3),
    "attn.to_out.0": Slot("x_block.attn.proj"),
    "attn.to_add_out": Slot("context_block.attn.proj"),
    "attn.norm_q": Slot("x_block.attn.ln_q"),
    "attn.norm_k": Slot("x_block.attn.ln_k"),
    "attn.norm_added_q": Slot("context_block.attn.ln_q"),
    "attn.norm_added_k": Slot("context_block.attn.ln_k"),
    "attn2.to_q": Slot("x_block.attn2.qkv", 0, 3),
    "attn2.to_k": Slot("x_block.attn2.qkv", 1, 3),
    "attn2.to_v": Slot("x_block.attn2.qkv", 2, 3),
    "attn2.to_out.0": Slot("x_block.attn2.proj"),
    "attn2.norm_q": Slot("x_block.attn2.ln_q"),
    "attn2.norm_k": Slot("x_block.attn2.ln_k"),
    "ff.net.0.proj": Slot("x_block.mlp.fc1"),
    "ff.net.2": Slot("x_block.mlp.fc2"),
    "ff_context.net.0.proj": Slot("context_block.mlp.fc1"),
    "ff_context.net.2": Slot("context_block.mlp.fc2"),
}
_BLOCK: Final = re.compile(r"(single_)?transformer_blocks\.(\d+)\.(.+)")


def flux_slot(module: str) -> Slot | None:
    """Where a module of diffusers' Flux stands in ours; None for one that has the same name or none."""
    match = _BLOCK.fullmatch(module)
    if match is None:
        return Slot(_FLUX_OUTER[module]) if module in _FLUX_OUTER else None
    table, blocks = (_FLUX_SINGLE, "single_blocks") if match[1] else (_FLUX_DOUBLE, "double_blocks")
    slot = table.get(match[3])
    return None if slot is None else slot._replace(module=f"{blocks}.{match[2]}.{slot.module}")


def sd3_slot(module: str) -> Slot | None:
    """Where a module of diffusers' SD3 stands in ours; None for one that has the same name or none."""
    match = _BLOCK.fullmatch(module)
    if match is None:
        return Slot(_SD3_OUTER[module]) if module in _SD3_OUTER else None
    slot = _SD3_BLOCK.get(match[3])
    return None if slot is None else slot._replace(module=f"joint_blocks.{match[2]}.{slot.module}")


def flux_slots(counts: Mapping[str, int]) -> dict[str, Slot]:
    """All modules of diffusers' Flux -> where they stand; counts: numbers of `double_blocks` and `single_blocks`."""
    slots = {module: Slot(ours) for module, ours in _FLUX_OUTER.items()}
    for blocks, other, table in (
        ("double_blocks", "transformer_blocks", _FLUX_DOUBLE),
        ("single_blocks", "single_transformer_blocks", _FLUX_SINGLE),
    ):
        for number in range(counts.get(blocks, 0)):
            for module, slot in table.items():
                slots[f"{other}.{number}.{module}"] = slot._replace(module=f"{blocks}.{number}.{slot.module}")
    return slots


def sd3_slots(counts: Mapping[str, int]) -> dict[str, Slot]:
    """All modules of diffusers' SD3 -> where they stand; counts: number of `joint_blocks`."""
    slots = {module: Slot(ours) for module, ours in _SD3_OUTER.items()}
    for number in range(counts.get("joint_blocks", 0)):
        for module, slot in _SD3_BLOCK.items():
            slots[f"transformer_blocks.{number}.{module}"] = slot._replace(
                module=f"joint_blocks.{number}.{slot.module}"
            )
    return slots


def flux_tensors(header: ModelHeader) -> dict[str, str | Made]:
    """The tensors of a Flux transformer in the layout of diffusers, by our names."""
    return dict(_tensors(header, {name: flux_slot(name.rpartition(".")[0]) for name in header.names}))


def sd3_tensors(header: ModelHeader) -> dict[str, str | Made]:
    """The tensors of an SD3 transformer in the layout of diffusers, by our names."""
    tensors = dict(_tensors(header, {name: sd3_slot(name.rpartition(".")[0]) for name in header.names}))
    if "pos_embed.pos_embed" in tensors:
        tensors["pos_embed"] = tensors.pop("pos_embed.pos_embed")
    return tensors


def shapes_of(header: ModelHeader, tensors: Mapping[str, str | Made]) -> dict[str, Shape]:
    """Shapes of planned tensors; one made of several has their rows together."""
    below = {full: name for name, full in header.names.items()}
    shapes: dict[str, Shape] = {}
    for name, source in tensors.items():
        parts = [header.shapes[below[full]] for full in ((source,) if isinstance(source, str) else source.names)]
        rows = sum(part[0] for part in parts) if len(parts) > 1 else None
        shapes[name] = parts[0] if rows is None else (rows, *parts[0][1:])
    return shapes


def _tensors(header: ModelHeader, slots: Mapping[str, Slot | None]) -> Iterator[tuple[str, str | Made]]:
    whole: dict[str, dict[int, str]] = {}
    for name, slot in slots.items():
        full, ending = header.names[name], name.rpartition(".")[2]
        if slot is None:
            yield name, full
        elif slot.parts > 1:
            whole.setdefault(f"{slot.module}.{ending}", {})[slot.part] = full
        elif slot.module == "final_layer.adaLN_modulation.1" or _is_last_context(slot.module, ending, header):
            yield f"{slot.module}.{ending}", rearranged(full, halves_swapped)
        elif slot.module.endswith(("query_norm", "key_norm")):
            yield f"{slot.module}.scale", full
        else:
            yield f"{slot.module}.{ending}", full
    for target, parts in whole.items():
        yield target, stacked(*(parts[number] for number in sorted(parts)))


def _is_last_context(module: str, ending: str, header: ModelHeader) -> bool:
    """Whether this is the modulation of a last block's text, which has two parts that diffusers swaps."""
    match = re.fullmatch(r"joint_blocks\.(\d+)\.context_block\.adaLN_modulation\.1", module)
    return match is not None and f"transformer_blocks.{match[1]}.attn.to_add_out.weight" not in header.names


def halves_swapped(tensor: Tensor) -> Tensor:
    """The second half of a tensor before its first: shift and scale stand in another order there."""
    first, second = tensor.chunk(2)
    return torch.cat([second, first])
