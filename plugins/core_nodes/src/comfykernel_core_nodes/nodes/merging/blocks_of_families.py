"""Nodes that mix two models of a family with a ratio for each of its blocks, made from one table."""

from __future__ import annotations

from functools import partial
from typing import Final, NamedTuple

from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.weight_merging import block_shares, merged_models
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_sdk.json_types import JsonObject
from comfykernel_sdk.nodes import InputSpec, NodeDefinition, NodeSpec, OutputSpec

CATEGORY: Final = "advanced/model_merging/model_specific"
MODULE: Final = "comfy_extras.nodes_model_merging_model_specific"
RATIO: Final[JsonObject] = {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.01}
MODELS: Final = ("model1", "model2")


class Blocks(NamedTuple):
    """Numbered beginnings of names: `start`0`end`, `start`1`end` ..."""

    start: str
    number: int
    end: str = "."


_UNET: Final = (
    "time_embed.", "label_emb.",
    Blocks("input_blocks.", 12), Blocks("middle_block.", 3), Blocks("output_blocks.", 12), "out.",
)  # fmt: skip
_SD3: Final = ("pos_embed.", "x_embedder.", "context_embedder.", "y_embedder.", "t_embedder.")
_COSMOS: Final = ("pos_embedder.", "extra_pos_embedder.", "x_embedder.", "t_embedder.", "affline_norm.")
_COSMOS_2: Final = ("pos_embedder.", "x_embedder.", "t_embedder.", "t_embedding_norm.")

# Node -> the beginnings of the names of its family's weights, in order.
FAMILIES: Final[dict[str, tuple[str | Blocks, ...]]] = {
    "ModelMergeSD1": _UNET,
    "ModelMergeSD2": _UNET,
    "ModelMergeSDXL": (
        "time_embed.", "label_emb.",
        Blocks("input_blocks.", 9, ""), Blocks("middle_block.", 3, ""), Blocks("output_blocks.", 9, ""), "out.",
    ),
    "ModelMergeSD3_2B": (*_SD3, Blocks("joint_blocks.", 24), "final_layer."),
    "ModelMergeAuraflow": (
        "init_x_linear.", "positional_encoding", "cond_seq_linear.", "register_tokens", "t_embedder.",
        Blocks("double_layers.", 4), Blocks("single_layers.", 32), "modF.", "final_linear.",
    ),
    "ModelMergeFlux1": (
        "img_in.", "time_in.", "guidance_in", "vector_in.", "txt_in.",
        Blocks("double_blocks.", 19), Blocks("single_blocks.", 38), "final_layer.",
    ),
    "ModelMergeSD35_Large": (*_SD3, Blocks("joint_blocks.", 38), "final_layer."),
    "ModelMergeMochiPreview": (
        "pos_frequencies.", "t_embedder.", "t5_y_embedder.", "t5_yproj.", Blocks("blocks.", 48), "final_layer.",
    ),
    "ModelMergeLTXV": (
        "patchify_proj.", "adaln_single.", "caption_projection.", Blocks("transformer_blocks.", 28),
        "scale_shift_table", "proj_out.",
    ),
    "ModelMergeCosmos7B": (*_COSMOS, Blocks("blocks.block", 28), "final_layer."),
    "ModelMergeCosmos14B": (*_COSMOS, Blocks("blocks.block", 36), "final_layer."),
    "ModelMergeWAN2_1": (
        "patch_embedding.", "time_embedding.", "time_projection.", "text_embedding.", "img_emb.",
        Blocks("blocks.", 40), "head.",
    ),
    "ModelMergeCosmosPredict2_2B": (*_COSMOS_2, Blocks("blocks.", 28), "final_layer."),
    "ModelMergeCosmosPredict2_14B": (*_COSMOS_2, Blocks("blocks.", 36), "final_layer."),
    "ModelMergeQwenImage": (
        "pos_embeds.", "img_in.", "txt_norm.", "txt_in.", "time_text_embed.", Blocks("transformer_blocks.", 60),
        "proj_out.",
    ),
}  # fmt: skip


def definitions() -> list[NodeDefinition]:
    """One node for each family."""
    return [_definition(id, names_of(parts)) for id, parts in FAMILIES.items()]


def names_of(parts: tuple[str | Blocks, ...]) -> list[str]:
    """All beginnings of names, the numbered ones written out."""
    names: list[str] = []
    for part in parts:
        if isinstance(part, Blocks):
            names += [f"{part.start}{number}{part.end}" for number in range(part.number)]
        else:
            names.append(part)
    return names


def _definition(id: str, names: list[str]) -> NodeDefinition:
    models = [InputSpec(name=name, type="MODEL") for name in MODELS]
    ratios = [InputSpec(name=name, type="FLOAT", options=dict(RATIO)) for name in names]
    spec = NodeSpec(
        id=id,
        category=CATEGORY,
        description="Mix two models of a family with a ratio for each block: 1 is the first model, 0 the second.",
        inputs=[*models, *ratios],
        outputs=[OutputSpec(type="MODEL", name="MODEL")],
        python_module=MODULE,
    )
    return NodeDefinition(spec=spec, run=partial(_merge, names))


def _merge(
    names: list[str], instance: object, *, model1: DiffusionModel, model2: DiffusionModel, **ratios: float
) -> DiffusionModel:
    with reported():
        return merged_models(model1, model2, block_shares({name: ratios[name] for name in names}))
