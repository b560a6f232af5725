"""Text models in the layouts of published files: which kind a file holds, and which of its tensors go where.

CLIP models come in the layout of Hugging Face (`text_model.encoder.layers...`) and in that of open_clip
(`transformer.resblocks...`, with stacked projections); T5 in one layout.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Final, Literal

from comfykernel_core_nodes.diffusion.clip_text import Activation, ClipTextModel, clip_text_config_from
from comfykernel_core_nodes.diffusion.model_header import part_of, transposed
from comfykernel_core_nodes.diffusion.t5_encoder import T5Encoder, t5_config_from
from comfykernel_sdk.families import Made, ModelHeader, NetworkPlan

TextKind = Literal["clip_l", "clip_g", "clip_h", "t5"]

TOKEN_EMBEDDING: Final = "embeddings.token_embedding.weight"
# Width of the published models: what tells G (1280) and H (1024) from L (768).
WIDTHS: Final[dict[int, TextKind]] = {768: "clip_l", 1024: "clip_h", 1280: "clip_g"}

# Modules of a layer: open_clip -> Hugging Face.
OPEN_CLIP_LAYER_NAMES: Final = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}
_LAYER: Final = re.compile(r"transformer\.resblocks\.(\d+)\.(.+)\.(weight|bias)")
_STACKED: Final = re.compile(r"transformer\.resblocks\.(\d+)\.attn\.in_proj_(weight|bias)")
OPEN_CLIP_OUTER_NAMES: Final = {
    "positional_embedding": "embeddings.position_embedding.weight",
    "token_embedding.weight": TOKEN_EMBEDDING,
    "ln_final.weight": "final_layer_norm.weight",
    "ln_final.bias": "final_layer_norm.bias",
}


def text_kind(header: ModelHeader) -> TextKind | None:
    """What text model stands in a file of its own, told from its layout and width; None when none does."""
    if "encoder.block.0.layer.0.SelfAttention.q.weight" in header.shapes:
        return "t5"
    tensors = clip_tensors(header)
    if TOKEN_EMBEDDING not in tensors:
        return None
    source = tensors[TOKEN_EMBEDDING]
    names = {full: name for name, full in header.names.items()}
    return WIDTHS.get(header.shapes[names[str(source)]][1], "clip_l")


def clip_plan(header: ModelHeader, activation: Activation, *, heads: int | None = None) -> NetworkPlan | None:
    """The plan of a CLIP text model in either layout; `heads` where it is not one for 64 channels."""
    tensors = clip_tensors(header)
    if TOKEN_EMBEDDING not in tensors:
        return None
    below = {full: name for name, full in header.names.items()}
    shapes = {
        name: header.shapes[below[source if isinstance(source, str) else source.names[0]]]
        for name, source in tensors.items()
    }
    projection = tensors.get("text_projection.weight")
    if isinstance(projection, Made):
        shapes["text_projection.weight"] = shapes["text_projection.weight"][::-1]
    config = clip_text_config_from(shapes, activation=activation, heads=heads)
    return NetworkPlan(header, partial(ClipTextModel, config), tensors)


def clip_tensors(header: ModelHeader) -> dict[str, str | Made]:
    """The tensors of a CLIP text model by the names of `ClipTextModel`; empty when there is none."""
    if "transformer.resblocks.0.ln_1.weight" in header.shapes:
        return dict(_open_clip_tensors(header))
    inner = header.below("text_model.")
    if TOKEN_EMBEDDING not in inner.shapes:
        # In the first checkpoints the text model has one level of names less.
        inner = header
    tensors: dict[str, str | Made] = {
        name: full
        for name, full in inner.names.items()
        if name.startswith(("embeddings.token_", "embeddings.position_embedding", "encoder.", "final_layer_norm."))
    }
    if "text_projection.weight" in header.names:
        tensors["text_projection.weight"] = header.names["text_projection.weight"]
    elif "text_projection" in header.names:
        tensors["text_projection.weight"] = transposed(header.names["text_projection"])
    return tensors


def _open_clip_tensors(header: ModelHeader) -> Iterator[tuple[str, str | Made]]:
    for name, full in header.names.items():
        if name in OPEN_CLIP_OUTER_NAMES:
            yield OPEN_CLIP_OUTER_NAMES[name], full
        elif name == "text_projection":
            yield "text_projection.weight", transposed(full)
        elif match := _STACKED.fullmatch(name):
            for index, part in enumerate("qkv"):
                yield f"encoder.layers.{match[1]}.self_attn.{part}_proj.{match[2]}", part_of(full, index, 3)
        elif (match := _LAYER.fullmatch(name)) and match[2] in OPEN_CLIP_LAYER_NAMES:
            yield f"encoder.layers.{match[1]}.{OPEN_CLIP_LAYER_NAMES[match[2]]}.{match[3]}", full


def t5_plan(header: ModelHeader) -> NetworkPlan | None:
    """The plan of a T5 encoder; a decoder in the same file is left out."""
    names = {
        name: full for name, full in header.names.items() if name.startswith("encoder.") or name == "shared.weight"
    }
    if "encoder.block.0.layer.0.SelfAttention.q.weight" not in names:
        return None
    tied = names.pop("encoder.embed_tokens.weight", None)
    if "shared.weight" not in names and tied is not None:
        names["shared.weight"] = tied
    below = {full: name for name, full in header.names.items()}
    config = t5_config_from({name: header.shapes[below[full]] for name, full in names.items()})
    return NetworkPlan(header, partial(T5Encoder, config), names)
