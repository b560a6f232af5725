"""Nodes that load model files."""

from __future__ import annotations

import logging
from typing import Annotated, Final

from comfykernel_core_nodes.diffusion.checkpoints import load_checkpoint, load_tiny_autoencoder, load_vae
from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.errors import CheckpointError
from comfykernel_core_nodes.diffusion.families.autoencoders import TINY_FORMATS
from comfykernel_core_nodes.diffusion.lora import (
    FAMILY_HINT,
    LoraResult,
    LoraShapeError,
    apply_lora,
    is_for_text,
    load_lora,
)
from comfykernel_core_nodes.diffusion.text_encoding import TextEncoder
from comfykernel_core_nodes.nodes.declare import core_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.latent.pixels import PixelCodec
from comfykernel_core_nodes.nodes.sockets import ClipModel, Codec, Model, Strength, VaeModel
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.errors import NotFound
from comfykernel_sdk.sockets import Choice, Float, Out, Socket

logger = logging.getLogger(__name__)

PIXEL_SPACE: Final = "pixel_space"
"""The choice of VAELoader that needs no file."""

TINY_NAMES: Final = ("taesd", "taesdxl", "taesd3", "taef1")
TINY_FOLDER: Final = "vae_approx"
TINY_HALVES: Final = ("encoder", "decoder")


@core_node("CheckpointLoaderSimple", category="loaders", display_name="Load Checkpoint")
def checkpoint_loader_simple(
    context: NodeContext,
    ckpt_name: Annotated[str, Choice(source="checkpoints", tooltip="The file, from the folder of checkpoints.")],
) -> tuple[
    Annotated[Model, Out(tooltip="The network that removes noise from latents.")],
    Annotated[ClipModel, Out(tooltip="The text model that reads prompts.")],
    Annotated[VaeModel, Out(tooltip="The autoencoder between pictures and latents.")],
]:
    """Load a checkpoint: a diffusion model with its text model and its autoencoder.

    Raises:
        NotFound: there is no such file.
        ModelFileError: the file is damaged or holds a model of an unknown kind.
    """
    path = context.models.path("checkpoints", ckpt_name)
    with reported():
        checkpoint = load_checkpoint(path)
    return checkpoint.model, checkpoint.clip, checkpoint.vae


@core_node("VAELoader", category="loaders", display_name="Load VAE")
def vae_loader(
    context: NodeContext, vae_name: Annotated[str, Choice(source="vae", extra=(*TINY_NAMES, PIXEL_SPACE), bare=True)]
) -> Annotated[Codec, Socket("VAE")]:
    """Load an autoencoder; the tiny ones are fast and rough, from the files NAME_encoder and NAME_decoder.

    Raises:
        NotFound: there is no such file.
        ModelFileError: the file is damaged or holds no autoencoder.
    """
    if vae_name == PIXEL_SPACE:
        return PixelCodec()
    if vae_name in TINY_NAMES:
        return _tiny_autoencoder(context, vae_name)
    path = context.models.path("vae", vae_name)
    with reported():
        return load_vae(path)


def _tiny_autoencoder(context: NodeContext, name: str) -> Codec:
    """Both halves of a tiny autoencoder, from the folder of approximate ones."""
    files = context.models.names(TINY_FOLDER)
    halves = [next((file for file in files if file.startswith(f"{name}_{half}.")), None) for half in TINY_HALVES]
    if None in halves:
        wanted = " and ".join(f"{name}_{half}.safetensors" for half in TINY_HALVES)
        message = f"There is no {name} in the folder {TINY_FOLDER}: it needs the files {wanted}."
        raise NotFound(message, type="unknown_model", hint="Put both files into the folder.")
    encoder, decoder = (context.models.path(TINY_FOLDER, file) for file in halves if file is not None)
    with reported():
        return load_tiny_autoencoder(encoder, decoder, TINY_FORMATS[name])


@core_node("LoraLoader", category="loaders", display_name="Load LoRA")
def lora_loader(
    context: NodeContext,
    model: Annotated[DiffusionModel, Socket("MODEL", tooltip="The diffusion model to change.", bare=False)],
    clip: Annotated[TextEncoder | None, Socket("CLIP", tooltip="The text model to change.", bare=False)],
    lora_name: Annotated[str, Choice(source="loras", tooltip="The file, from the folder of LoRAs.")],
    strength_model: Annotated[
        float,
        Float(
            default=1.0,
            min=-100.0,
            max=100.0,
            step=0.01,
            tooltip="How much the diffusion model changes; may be negative.",
        ),
    ],
    strength_clip: Annotated[
        float,
        Float(
            default=1.0, min=-100.0, max=100.0, step=0.01, tooltip="How much the text model changes; may be negative."
        ),
    ],
) -> tuple[
    Annotated[Model, Out(tooltip="The changed diffusion model.")],
    Annotated[ClipModel, Out(tooltip="The changed text model.")],
]:
    """Change a diffusion model and its text model by a LoRA; several in a row add up.

    Raises:
        NotFound: there is no such file.
        ModelFileError: the file is damaged.
    """
    if strength_model == 0 and strength_clip == 0:
        return model, clip
    changed = _with_lora(context, lora_name, model, clip, strength_model, strength_clip)
    return changed.model or model, changed.clip


@core_node("LoraLoaderModelOnly", category="loaders")
def lora_loader_model_only(
    context: NodeContext,
    model: Model,
    lora_name: Annotated[str, Choice(source="loras", bare=True)],
    strength_model: Strength,
) -> Model:
    """Change a diffusion model by a LoRA and leave the text model as it is.

    Raises:
        NotFound: there is no such file.
        ModelFileError: the file is damaged.
    """
    if strength_model == 0:
        return model
    return _with_lora(context, lora_name, model, None, strength_model, 0.0).model or model


def _with_lora(
    context: NodeContext,
    name: str,
    model: DiffusionModel,
    clip: TextEncoder | None,
    strength_model: float,
    strength_clip: float,
) -> LoraResult:
    path = context.models.path("loras", name)
    with reported():
        tensors = load_lora(path)
        try:
            changed = apply_lora(tensors, model, clip, strength_model, strength_clip)
        except LoraShapeError as error:
            raise CheckpointError(path, error.message, error.hint, type=error.type) from error
        # Without a text model its tensors are left over as a matter of course.
        unused = [entry for entry in changed.unused if clip is not None or not is_for_text(entry)]
        if len(unused) == len(tensors):
            where = "does not fit the model" if clip is None else "fits neither the model nor the text model"
            message = f"{where}: none of its {len(tensors)} tensors has a place there."
            raise CheckpointError(path, message, FAMILY_HINT, type=LoraShapeError.type)
    if unused:
        logger.warning("%s has %d tensors that fit nothing here, e.g. %s.", name, len(unused), unused[0])
    return changed
