"""The families of the latent-diffusion UNet: SD1, SD2, SDXL base and refiner, with their inpainting and edit models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, cast

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion import latent_formats
from comfykernel_core_nodes.diffusion.condition_inputs import (
    extra_latent,
    inpainting_channels,
    number,
    refiner_vector,
    size_vector,
    with_pooled,
)
from comfykernel_core_nodes.diffusion.families.networks import StableDiffusion1Networks
from comfykernel_core_nodes.diffusion.families.text_parts import find_clip, single_text_plan
from comfykernel_core_nodes.diffusion.model_header import Header
from comfykernel_core_nodes.diffusion.unclip import (
    SEED_OFFSET,
    USUAL_MERGE,
    Augmentation,
    SeenPicture,
    picture_vector,
)
from comfykernel_core_nodes.diffusion.unet import UNet
from comfykernel_core_nodes.diffusion.unet_config import UNetConfig, unet_config_from
from comfykernel_core_nodes.diffusion.unet_layouts import original_layout
from comfykernel_sdk.families import (
    CodecPlan,
    Condition,
    DiffusionPlan,
    LatentFormat,
    LikeLatent,
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

UNET_MARK: Final = "input_blocks.0.0.weight"
# Present in checkpoints whose network predicts v; with the second, on levels that end in pure noise.
VELOCITY_MARK: Final = "v_pred"
ZERO_SNR_MARK: Final = "ztsnr"
# SD2 models that predict v have a bias here that scatters more than this; those that predict noise have not.
SD2_BIAS: Final = "output_blocks.11.1.transformer_blocks.0.norm1.bias"
SD2_VELOCITY_SCATTER: Final = 0.09
# Channels of the size vectors after the pooled text vector (see `condition_inputs`).
SIZE_CHANNELS: Final = 1536

INPAINTING_CHANNELS: Final = 9
EDITING_CHANNELS: Final = 8
SDXL_LEVELS: Final = 3

# Makes the vector [1, width] beside the context.
ReadVector = Callable[[Condition, Run], Tensor]


def _config(header: ModelHeader) -> UNetConfig | None:
    return unet_config_from(header.shapes) if UNET_MARK in header.shapes and "out.2.weight" in header.shapes else None


def _marked(header: ModelHeader) -> SamplingSpec:
    """What the marks of a checkpoint say: epsilon without any."""
    marks = header.whole.shapes
    if VELOCITY_MARK not in marks:
        return SamplingSpec("epsilon")
    return SamplingSpec("velocity", {"zero_terminal_snr": 1.0} if ZERO_SNR_MARK in marks else {})


class _UNetFamily:
    """What the families share: network, text as context, extra channels of inpainting and edit models."""

    name: str
    latent_format: LatentFormat = latent_formats.SD1

    def accepts(self, config: UNetConfig) -> bool:
        """Whether a UNet is of this family."""
        raise NotImplementedError

    def sampling(self, header: ModelHeader) -> SamplingSpec:
        """What the network predicts."""
        return _marked(header)

    def vector(self, header: ModelHeader, width: int) -> ReadVector | None:
        """What makes the vector beside the context, of the width that the network takes."""
        return None

    def edited_latent(self, header: ModelHeader) -> LatentFormat:
        """The scale in which an edit model wants its picture; those converted from diffusers take it as it is."""
        return LatentFormat()

    def format_of(self, header: ModelHeader) -> LatentFormat:
        """The latent format of a checkpoint of this family."""
        return self.latent_format

    def diffusion_plan(self, header: ModelHeader) -> DiffusionPlan | None:
        """The plan of a UNet of this family, in the original layout or in that of diffusers."""
        header = original_layout(cast(Header, header))
        config = _config(header)
        if config is None or not self.accepts(config):
            return None
        network = NetworkPlan(header, partial(UNet, config), header.names)
        latent_format = self.format_of(header)
        vector = None if config.adm_in_channels is None else self.vector(header, config.adm_in_channels)
        read = partial(_read, config, latent_format, self.edited_latent(header), vector)
        return DiffusionPlan(network, self.sampling(header), latent_format, read)

    def codec_plan(self, header: ModelHeader) -> CodecPlan | None:
        """None: autoencoders are a family of their own."""
        return None


def _read(
    config: UNetConfig,
    latent_format: LatentFormat,
    edited: LatentFormat,
    vector: ReadVector | None,
    condition: Condition,
    run: Run,
) -> Mapping[str, NetworkInput]:
    inputs: dict[str, NetworkInput] = {"context": TokenSequence(condition.tokens)}
    if vector is not None:
        inputs["y"] = PerRow(vector(condition, run))
    if config.in_channels == INPAINTING_CHANNELS:
        channels = inpainting_channels(condition, run, latent_format, ("mask", "masked_image"))
        inputs["concat"] = LikeLatent(channels)
    elif config.in_channels == EDITING_CHANNELS:
        # Without a picture to edit, an edit model sees zeros.
        inputs["concat"] = LikeLatent(extra_latent(condition, Run(run.noise), edited))
    return inputs


class StableDiffusion1(_UNetFamily, StableDiffusion1Networks):
    """SD1.x: a UNet with 8 heads and CLIP-L (Rombach et al. 2022)."""

    name = "sd1"

    def accepts(self, config: UNetConfig) -> bool:
        return not config.use_linear_in_transformer and config.adm_in_channels is None

    def text_plan(self, files: Sequence[ModelHeader]) -> TextPlan | None:
        """CLIP-L in a checkpoint or alone."""
        plan = find_clip(files, "clip_l", ("cond_stage_model.transformer.", "text_encoders.clip_l.transformer."))
        return None if plan is None else single_text_plan("l", plan, "clip_l")


class StableDiffusion2(_UNetFamily):
    """SD2.x: heads of 64 channels and CLIP-H; the models for 768 pixels predict v."""

    name = "sd2"

    def accepts(self, config: UNetConfig) -> bool:
        return config.use_linear_in_transformer and config.adm_in_channels is None

    def sampling(self, header: ModelHeader) -> SamplingSpec:
        marked = _marked(header)
        plain = header.shapes[UNET_MARK][1] == self.latent_format.channels
        if marked.prediction != "epsilon" or not plain or SD2_BIAS not in header.shapes:
            return marked
        scatter = float(header.tensor(SD2_BIAS).float().std())
        return SamplingSpec("velocity") if scatter > SD2_VELOCITY_SCATTER else marked

    def text_plan(self, files: Sequence[ModelHeader]) -> TextPlan | None:
        """CLIP-H, mostly in the layout of open_clip."""
        plan = find_clip(files, "clip_h", ("cond_stage_model.model.", "text_encoders.clip_h.transformer."))
        return None if plan is None else single_text_plan("h", plan, "clip_h")


class StableDiffusion2Unclip(StableDiffusion2):
    """SD2.1 unCLIP: pictures seen by CLIP steer it beside a text."""

    name = "sd2_unclip"

    def accepts(self, config: UNetConfig) -> bool:
        attended = config.transformer_depth[:1] != (0,)
        return config.adm_in_channels is not None and len(config.channel_mult) > SDXL_LEVELS and attended

    def vector(self, header: ModelHeader, width: int) -> ReadVector:
        whole = header.whole
        augmentation = Augmentation.plain(width // 2)
        if "noise_augmentor.data_mean" in whole.shapes:
            mean, deviation = (whole.tensor(f"noise_augmentor.data_{name}").float() for name in ("mean", "std"))
            augmentation = Augmentation(mean.reshape(1, -1), deviation.reshape(1, -1))
        return partial(_picture_vector, augmentation, width)


def _picture_vector(augmentation: Augmentation, width: int, condition: Condition, run: Run) -> Tensor:
    pictures = seen_pictures(condition)
    if not pictures:
        return torch.zeros(1, width)
    merge = number(condition, "unclip_noise_augment_merge", USUAL_MERGE)
    return picture_vector(pictures, augmentation, run.seed - SEED_OFFSET, merge)


def _sized_vector(width: int, condition: Condition, run: Run) -> Tensor:
    """The pooled text, or pictures in its place, and the sizes."""
    sizes = size_vector(condition, run)
    pictures = seen_pictures(condition)
    if not pictures:
        return with_pooled(condition, sizes, width)
    pooled = width - sizes.shape[1]
    vector = picture_vector(pictures, Augmentation.plain(pooled), run.seed - SEED_OFFSET)
    return torch.cat([vector[:, :pooled], sizes], dim=1)


def seen_pictures(condition: Condition) -> Sequence[SeenPicture]:
    """Pictures that a condition carries."""
    return cast("Sequence[SeenPicture]", condition.extra.get("unclip_conditioning", ()))


class StableDiffusionXL(_UNetFamily):
    """SDXL base and what is derived from it (Podell et al. 2023, arXiv:2307.01952): CLIP-L and CLIP-G side by side."""

    name = "sdxl"
    latent_format = latent_formats.SDXL

    def accepts(self, config: UNetConfig) -> bool:
        return config.adm_in_channels is not None and len(config.channel_mult) == SDXL_LEVELS

    def sampling(self, header: ModelHeader) -> SamplingSpec:
        marks = header.whole.shapes
        if "edm_mean" in marks and "edm_std" in marks:
            # Playground v2.5 (Li et al. 2024, arXiv:2402.17245).
            return SamplingSpec("edm", {"sigma_data": 0.5, "sigma_min": 0.002, "sigma_max": 80.0})
        if "edm_vpred.sigma_max" in marks:
            options = {"sigma_max": float(header.whole.tensor("edm_vpred.sigma_max"))}
            if "edm_vpred.sigma_min" in marks:
                options["sigma_min"] = float(header.whole.tensor("edm_vpred.sigma_min"))
            return SamplingSpec("edm_velocity", options)
        return _marked(header)

    def format_of(self, header: ModelHeader) -> LatentFormat:
        marks = header.whole.shapes
        return latent_formats.SDXL_PLAYGROUND if "edm_mean" in marks and "edm_std" in marks else self.latent_format

    def edited_latent(self, header: ModelHeader) -> LatentFormat:
        # CosXL's edit model was trained on scaled latents.
        return self.latent_format if "edm_vpred.sigma_max" in header.whole.shapes else LatentFormat()

    def vector(self, header: ModelHeader, width: int) -> ReadVector:
        return partial(_sized_vector, width)

    def text_plan(self, files: Sequence[ModelHeader]) -> TextPlan | None:
        """CLIP-L and CLIP-G."""
        clip_l = find_clip(
            files, "clip_l", ("conditioner.embedders.0.transformer.", "text_encoders.clip_l.transformer.")
        )
        clip_g = find_clip(files, "clip_g", ("conditioner.embedders.1.model.", "text_encoders.clip_g.transformer."))
        if clip_l is None or clip_g is None:
            return None
        models = {"l": TextModelPlan(clip_l, "clip_l_penultimate"), "g": TextModelPlan(clip_g, "clip_g")}
        return TextPlan(models, side_by_side)


class StableDiffusionXLRefiner(_UNetFamily):
    """The SDXL refiner: CLIP-G alone, and a score instead of a target size."""

    name = "sdxl_refiner"
    latent_format = latent_formats.SDXL

    def accepts(self, config: UNetConfig) -> bool:
        first_level_free = config.transformer_depth[:1] == (0,)
        return config.adm_in_channels is not None and len(config.channel_mult) > SDXL_LEVELS and first_level_free

    def vector(self, header: ModelHeader, width: int) -> ReadVector:
        return lambda condition, run: with_pooled(condition, refiner_vector(condition, run), width)

    def text_plan(self, files: Sequence[ModelHeader]) -> TextPlan | None:
        """CLIP-G in a checkpoint or alone."""
        plan = find_clip(files, "clip_g", ("conditioner.embedders.0.model.", "text_encoders.clip_g.transformer."))
        return None if plan is None else single_text_plan("g", plan, "clip_g")


def side_by_side(encodings: Mapping[str, TextEncoding]) -> TextEncoding:
    """Channels of both models for as many tokens as both have; the pooled vector of G."""
    both = [encodings[name].hidden for name in ("l", "g")]
    length = min(hidden.shape[1] for hidden in both)
    return TextEncoding(torch.cat([hidden[:, :length] for hidden in both], dim=-1), encodings["g"].pooled)
