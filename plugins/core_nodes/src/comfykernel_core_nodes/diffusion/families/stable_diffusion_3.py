"""The families SD3 and SD3.5: the multimodal diffusion transformer with CLIP-L, CLIP-G and T5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from comfykernel_core_nodes.diffusion import latent_formats
from comfykernel_core_nodes.diffusion.families.text_parts import find_clip, find_t5
from comfykernel_core_nodes.diffusion.mmdit import MMDiT, mmdit_config_from
from comfykernel_core_nodes.diffusion.transformer_layouts import SD3_MARK, sd3_tensors, shapes_of
from comfykernel_sdk.families import (
    CodecPlan,
    Condition,
    DiffusionPlan,
    Made,
    ModelHeader,
    NetworkInput,
    NetworkPlan,
    PerRow,
    Run,
    SamplingSpec,
    TextEncoding,
    TextModelPlan,
    TextPlan,
    TokenSequence,
)

MARK: Final = "joint_blocks.0.context_block.attn.qkv.weight"
# Esser et al. 2024, section 5.3.2: the time shift of pictures of 1024 pixels.
SHIFT: Final = 3.0
# Channels of T5's tokens, to which those of the CLIP models are filled up.
CONTEXT_CHANNELS: Final = 4096
# Tokens and widths of what stands for a text model that is not there.
EMPTY_TOKENS: Final = 77
POOLED_L, POOLED_G = 768, 1280


class StableDiffusion3:
    """SD3 and SD3.5, medium and large."""

    name: Final = "sd3"

    def diffusion_plan(self, header: ModelHeader) -> DiffusionPlan | None:
        """The plan of a transformer of this family, in the original layout or in that of diffusers."""
        tensors: Mapping[str, str | Made] = header.names
        if SD3_MARK in header.shapes and "norm_out.linear.weight" in header.shapes:
            tensors = sd3_tensors(header)
        if MARK not in tensors or "final_layer.linear.weight" not in tensors:
            return None
        config = mmdit_config_from(shapes_of(header, tensors))
        network = NetworkPlan(header, partial(MMDiT, config), tensors)
        sampling = SamplingSpec("flow", {"shift": SHIFT})
        return DiffusionPlan(network, sampling, latent_formats.SD3, partial(_read, config.vector_width))

    def text_plan(self, files: Sequence[ModelHeader]) -> TextPlan | None:
        """Any of CLIP-L, CLIP-G and T5 in a checkpoint or in files of their own."""
        plans = (
            ("l", find_clip(files, "clip_l", ("text_encoders.clip_l.transformer.",)), "clip_l_penultimate"),
            ("g", find_clip(files, "clip_g", ("text_encoders.clip_g.transformer.",)), "clip_g"),
            ("t5xxl", find_t5(files, ("text_encoders.t5xxl.transformer.",)), "t5xxl_77"),
        )
        models = {name: TextModelPlan(plan, reader) for name, plan, reader in plans if plan is not None}
        return TextPlan(models, combine_sd3) if models else None

    def codec_plan(self, header: ModelHeader) -> CodecPlan | None:
        """None: autoencoders are a family of their own."""
        return None


def _read(width: int, condition: Condition, run: Run) -> Mapping[str, NetworkInput]:
    pooled = torch.zeros(1, width) if condition.pooled is None else condition.pooled
    return {"context": TokenSequence(condition.tokens), "y": PerRow(pooled)}


def combine_sd3(encodings: Mapping[str, TextEncoding]) -> TextEncoding:
    """Both CLIP models side by side, filled up to T5's width, then T5's tokens; pooled vectors side by side.

    What is missing is zero; without any text model the condition is all zeros.
    """
    clips = [encodings[name].hidden for name in ("l", "g") if name in encodings]
    parts: list[Tensor] = []
    if clips:
        length = min(hidden.shape[1] for hidden in clips)
        joined = torch.cat([hidden[:, :length] for hidden in clips], dim=-1)
        if "l" not in encodings:
            joined = functional.pad(joined, (POOLED_L, 0))
        parts.append(functional.pad(joined, (0, CONTEXT_CHANNELS - joined.shape[-1])))
    if "t5xxl" in encodings:
        parts.append(encodings["t5xxl"].hidden)
    hidden = torch.cat(parts, dim=1) if parts else torch.zeros(1, EMPTY_TOKENS, CONTEXT_CHANNELS)
    pooled = [_pooled(encodings.get(name), width) for name, width in (("l", POOLED_L), ("g", POOLED_G))]
    return TextEncoding(hidden, torch.cat(pooled, dim=-1))


def _pooled(encoding: TextEncoding | None, width: int) -> Tensor:
    return torch.zeros(1, width) if encoding is None or encoding.pooled is None else encoding.pooled
