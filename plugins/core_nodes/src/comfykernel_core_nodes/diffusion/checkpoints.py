"""Checkpoints: which family a file holds, told from names and shapes in its header, and its parts as handles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from torch import Tensor, nn

from comfykernel_core_nodes.diffusion import latent_formats
from comfykernel_core_nodes.diffusion.autoencoder import AutoencoderKL, autoencoder_config_from
from comfykernel_core_nodes.diffusion.clip_text import ClipTextModel, clip_text_config_from
from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.errors import CheckpointError
from comfykernel_core_nodes.diffusion.image_codec import ImageCodec
from comfykernel_core_nodes.diffusion.model_sampling import ModelSampling
from comfykernel_core_nodes.diffusion.text_encoding import TextEncoder
from comfykernel_core_nodes.diffusion.unet import UNet, unet_config_from
from comfykernel_core_nodes.diffusion.weight_files import WeightFile, open_weights
from comfykernel_core_nodes.diffusion.weights import TensorSource, Weights

M = TypeVar("M", bound=nn.Module)

UNET_PREFIX: Final = "model.diffusion_model."
CODEC_PREFIX: Final = "first_stage_model."
# In the first checkpoints the text model has one more level of names.
TEXT_PREFIXES: Final = ("cond_stage_model.transformer.text_model.", "cond_stage_model.transformer.")
UNET_MARK: Final = UNET_PREFIX + "input_blocks.0.0.weight"
CODEC_MARK: Final = "decoder.conv_in.weight"
TEXT_MARK: Final = "embeddings.token_embedding.weight"
# Present in checkpoints whose network predicts v.
VELOCITY_MARK: Final = "v_pred"
# Buffer of positions 0..76 that old checkpoints carry.
POSITION_IDS: Final = "embeddings.position_ids"
SUPPORTED: Final = "Supported are Stable Diffusion 1.x checkpoints in the original layout."


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The parts of a checkpoint file; a part that the file lacks is None."""

    model: DiffusionModel
    clip: TextEncoder | None
    vae: ImageCodec | None


def load_checkpoint(path: Path) -> Checkpoint:
    """Open a checkpoint; weights are read when first used. Raises `CheckpointError`."""
    file = open_weights(path)
    if UNET_MARK not in file.shapes:
        message = "holds no diffusion model in the original layout (no input_blocks)."
        raise CheckpointError(path, message, SUPPORTED, type="unknown_model_family")
    return Checkpoint(_diffusion_model(file), _text_encoder(file), _codec(file, CODEC_PREFIX))


def load_vae(path: Path) -> ImageCodec:
    """Open an autoencoder, alone in its file or inside a checkpoint. Raises `CheckpointError`."""
    file = open_weights(path)
    for prefix in ("", CODEC_PREFIX):
        codec = _codec(file, prefix)
        if codec is not None:
            return codec
    raise CheckpointError(path, "holds no autoencoder.", "Expected is a KL autoencoder.", type="unknown_model_family")


def _diffusion_model(file: WeightFile) -> DiffusionModel:
    names = _names(file, UNET_PREFIX)
    shapes = _shapes(file, names)
    config = _configured(file, unet_config_from, shapes)
    if config.use_linear_in_transformer or config.adm_in_channels is not None:
        raise CheckpointError(file.path, "is of a later family.", SUPPORTED, type="unknown_model_family")
    weights = _weights(file, names, shapes, partial(UNet, config))
    sampling = ModelSampling.velocity() if VELOCITY_MARK in file.shapes else ModelSampling.epsilon()
    return DiffusionModel(weights, sampling, latent_formats.SD1)


def _text_encoder(file: WeightFile) -> TextEncoder | None:
    for prefix in TEXT_PREFIXES:
        if prefix + TEXT_MARK in file.shapes:
            names = {name: key for name, key in _names(file, prefix).items() if name != POSITION_IDS}
            shapes = _shapes(file, names)
            config = _configured(file, clip_text_config_from, shapes)
            return TextEncoder(_weights(file, names, shapes, partial(ClipTextModel, config)), config.layers)
    return None


def _codec(file: WeightFile, prefix: str) -> ImageCodec | None:
    if prefix + CODEC_MARK not in file.shapes:
        return None
    parts = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
    names = {name: key for name, key in _names(file, prefix).items() if name.startswith(parts)}
    shapes = _shapes(file, names)
    config = _configured(file, autoencoder_config_from, shapes)
    return ImageCodec(_weights(file, names, shapes, partial(AutoencoderKL, config)), config.downscale)


def _names(file: WeightFile, prefix: str) -> dict[str, str]:
    return {key[len(prefix) :]: key for key in file.shapes if key.startswith(prefix)}


def _shapes(file: WeightFile, names: Mapping[str, str]) -> dict[str, tuple[int, ...]]:
    return {name: file.shapes[key] for name, key in names.items()}


C = TypeVar("C")


def _configured(
    file: WeightFile, infer: Callable[[Mapping[str, tuple[int, ...]]], C], shapes: Mapping[str, tuple[int, ...]]
) -> C:
    try:
        return infer(shapes)
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        message = f"lacks a tensor or has one of a wrong shape: {error}."
        raise CheckpointError(file.path, message, SUPPORTED, type="unknown_model_family") from error


def _weights(
    file: WeightFile, names: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]], build: Callable[[], M]
) -> Weights[M]:
    def read() -> dict[str, Tensor]:
        return file.read(names)

    return Weights(build, TensorSource(read, shapes), label=file.path)
