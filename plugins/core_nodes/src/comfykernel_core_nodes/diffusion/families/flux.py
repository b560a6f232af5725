"""The family Flux.1: dev, schnell, fill, canny, depth, Kontext."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final, cast

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion import latent_formats
from comfykernel_core_nodes.diffusion.condition_inputs import extra_latent, number
from comfykernel_core_nodes.diffusion.errors import LatentShapeError
from comfykernel_core_nodes.diffusion.families.text_parts import find_clip, find_t5
from comfykernel_core_nodes.diffusion.flux import Flux, FluxConfig, flux_config_from
from comfykernel_core_nodes.diffusion.image_fitting import resized, spread
from comfykernel_core_nodes.diffusion.transformer_layouts import FLUX_MARK, flux_tensors, shapes_of
from comfykernel_sdk.families import (
    CodecPlan,
    Condition,
    DiffusionPlan,
    LikeLatent,
    Made,
    ModelHeader,
    NetworkInput,
    NetworkPlan,
    PerRow,
    Run,
    SamplingSpec,
    Shared,
    TextEncoding,
    TextModelPlan,
    TextPlan,
    TokenSequence,
)

MARK: Final = "double_blocks.0.img_attn.norm.key_norm.scale"
# Tensors of other models with the same blocks.
FOREIGN: Final = ("distilled_guidance_layer.", "txt_in.individual_token_refiner.", "nerf_")
# The guidance that the distilled models show at their best, for conditions that do not say.
USUAL_GUIDANCE: Final = 3.5
# Pixels of a mask's side that one latent unit stands for: fill sees them all, as channels.
MASK_SIDE: Final = 8


class Flux1:
    """Flux.1 in the layout of Black Forest Labs, also below other prefixes in checkpoints."""

    name: Final = "flux"

    def diffusion_plan(self, header: ModelHeader) -> DiffusionPlan | None:
        """The plan of a transformer of this family, in the original layout or in that of diffusers."""
        tensors: Mapping[str, str | Made] = header.names
        if FLUX_MARK in header.shapes and "norm_out.linear.weight" in header.shapes:
            tensors = flux_tensors(header)
        if MARK not in tensors or "vector_in.in_layer.weight" not in tensors:
            return None
        if any(name.startswith(FOREIGN) for name in tensors):
            return None
        config = flux_config_from(shapes_of(header, tensors))
        network = NetworkPlan(header, partial(Flux, config), tensors)
        # Schnell was distilled without a guidance number and runs on unshifted levels.
        spec = SamplingSpec("flux_flow") if config.guided else SamplingSpec("flow", {"shift": 1.0, "multiplier": 1.0})
        return DiffusionPlan(network, spec, latent_formats.FLUX, partial(_read, config))

    def text_plan(self, files: Sequence[ModelHeader]) -> TextPlan | None:
        """CLIP-L and T5 in a checkpoint or in files of their own."""
        clip = find_clip(files, "clip_l", ("text_encoders.clip_l.transformer.",))
        t5 = find_t5(files, ("text_encoders.t5xxl.transformer.",))
        if clip is None or t5 is None:
            return None
        models = {"l": TextModelPlan(clip, "clip_l"), "t5xxl": TextModelPlan(t5, "t5xxl")}
        return TextPlan(models, combine_flux)

    def codec_plan(self, header: ModelHeader) -> CodecPlan | None:
        """None: autoencoders are a family of their own."""
        return None


def combine_flux(encodings: Mapping[str, TextEncoding]) -> TextEncoding:
    """T5's tokens and the pooled vector of CLIP."""
    return TextEncoding(encodings["t5xxl"].hidden, encodings["l"].pooled)


def _read(config: FluxConfig, condition: Condition, run: Run) -> Mapping[str, NetworkInput]:
    pooled = torch.zeros(1, config.vector_width) if condition.pooled is None else condition.pooled
    inputs: dict[str, NetworkInput] = {"context": TokenSequence(condition.tokens), "y": PerRow(pooled)}
    if config.guided and condition.extra.get("guidance", USUAL_GUIDANCE) is not None:
        inputs["guidance"] = PerRow(torch.tensor([number(condition, "guidance", USUAL_GUIDANCE)]))
    references = cast("Sequence[Tensor]", condition.extra.get("reference_latents", ()))
    for latent in references:
        if latent.ndim != run.noise.ndim or latent.shape[1] != latent_formats.FLUX.channels:
            raise LatentShapeError(
                f"A reference latent has the shape {list(latent.shape)}; Flux takes [batch, 16, height, width].",
                "Encode the reference picture with the VAE of Flux.",
            )
    if references:
        inputs["references"] = Shared([latent_formats.FLUX.to_model(latent.float()) for latent in references])
        inputs["reference_method"] = Shared(condition.extra.get("reference_latents_method", "offset"))
    bias = condition.extra.get("attention_bias")
    if isinstance(bias, Tensor):
        inputs["attention_bias"] = PerRow(bias)
    if config.in_channels > config.out_channels:
        inputs["concat"] = LikeLatent(_extra_channels(config, condition, run))
    return inputs


def _extra_channels(config: FluxConfig, condition: Condition, run: Run) -> Tensor:
    """The latent of a picture (canny, depth), and for fill the pixels of a mask, as channels."""
    image = extra_latent(condition, Run(run.noise), latent_formats.FLUX)
    if config.in_channels <= config.out_channels * 2:
        return image
    height, width = run.noise.shape[-2:]
    mask = cast("Tensor | None", condition.extra.get("concat_mask"))
    if mask is None:
        mask = run.mask if run.mask is not None else torch.ones_like(run.noise)[:, :1]
    mask = mask.float().reshape(-1, 1, *mask.shape[-2:]) if mask.ndim < run.noise.ndim else mask.mean(1, keepdim=True)
    mask = resized(mask, height * MASK_SIDE, width * MASK_SIDE, crop=True)
    cells = mask.view(len(mask), height, MASK_SIDE, width, MASK_SIDE).permute(0, 2, 4, 1, 3)
    return torch.cat([image, spread(cells.reshape(len(mask), -1, height, width), len(image)).to(image)], dim=1)
