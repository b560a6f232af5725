"""Model files as handles: which family a file holds, told from its header, and its parts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeVar, cast

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.errors import CheckpointError, UnknownFamily
from comfykernel_core_nodes.diffusion.file_kinds import described
from comfykernel_core_nodes.diffusion.image_codec import ImageCodec
from comfykernel_core_nodes.diffusion.latent_formats import LatentFormat
from comfykernel_core_nodes.diffusion.model_header import Header
from comfykernel_core_nodes.diffusion.model_sampling import ModelSampling
from comfykernel_core_nodes.diffusion.prompt_readers import READERS
from comfykernel_core_nodes.diffusion.taesd import TinyAutoencoder, tiny_channels
from comfykernel_core_nodes.diffusion.text_encoding import TextEncoder, TextPart
from comfykernel_core_nodes.diffusion.unclip import AUGMENTATION_PREFIX, VISION_PREFIX, VISION_PREFIXES
from comfykernel_core_nodes.diffusion.vision_encoding import VisionEncoder, vision_encoder, vision_plan
from comfykernel_core_nodes.diffusion.weight_files import WeightFile, open_weights
from comfykernel_core_nodes.diffusion.weights import TensorSource, Weights, planned_weights
from comfykernel_sdk.families import CodecPlan, DiffusionPlan, ModelFamily, PromptReader, TextPlan, model_families

P = TypeVar("P")

# Where checkpoints and files of a diffusion model alone keep it.
DIFFUSION_PREFIXES: Final = ("model.diffusion_model.", "model.model.", "diffusion_model.", "net.", "")
VISION_PLACES: Final = ("embedder.model.", VISION_PREFIX)
CODEC_PREFIXES: Final = ("first_stage_model.", "vae.")
# What nodes of the field call kinds of text encoders, as families; the first that finds its models in the files.
TEXT_KINDS: Final = {
    "stable_diffusion": ("sdxl", "sd1", "sd2", "sdxl_refiner"),
}
# What files each kind needs, for errors.
TEXT_NEEDS: Final = {
    "stable_diffusion": "a CLIP text model (CLIP-L, CLIP-G or CLIP-H)",
    "sdxl": "CLIP-L and CLIP-G",
    "sd3": "any of CLIP-L, CLIP-G and T5-XXL",
    "flux": "CLIP-L and T5-XXL",
}
# Families without texts.
CODEC_FAMILIES: Final = frozenset({"autoencoder_kl", "taesd"})


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The parts of a checkpoint file; a part that the file lacks is None."""

    model: DiffusionModel
    clip: TextEncoder | None
    vae: ImageCodec | None
    vision: VisionEncoder | None = None
    """of unCLIP checkpoints"""


def load_checkpoint(path: Path) -> Checkpoint:
    """Open a checkpoint; weights are read when first used. Raises `CheckpointError`."""
    header = Header(open_weights(path))
    family, plan = find_diffusion_model(header)
    text = plan_asked(header, partial(family.text_plan, [header]))
    codec = find_codec(header, CODEC_PREFIXES)
    visions = (vision_plan(header.below(prefix)) for prefix in VISION_PLACES)
    vision = next((plan for plan in visions if plan is not None), None)
    return Checkpoint(
        diffusion_model(plan, family.name),
        None if text is None else text_encoder(text),
        None if codec is None else image_codec(codec),
        None if vision is None else vision_encoder(vision),
    )


def load_diffusion_model(path: Path) -> DiffusionModel:
    """Open a diffusion model, alone in its file or inside a checkpoint. Raises `CheckpointError`."""
    family, plan = find_diffusion_model(Header(open_weights(path)))
    return diffusion_model(plan, family.name)


def load_text_encoder(paths: Sequence[Path], kind: str) -> TextEncoder:
    """Open the text models of a family from files of their own.

    kind: a family's name, or one of the field's names for several (`stable_diffusion`).

    Raises:
        UnknownFamily: no family of the kind is installed.
        CheckpointError: the files hold no text models of the kind.
    """
    families = {family.name: family for family in model_families()}
    wanted = [families[name] for name in TEXT_KINDS.get(kind, (kind,)) if name in families]
    if not wanted:
        raise UnknownFamily(kind, sorted({*TEXT_KINDS, *families} - CODEC_FAMILIES))
    headers = [Header(open_weights(path)) for path in paths]
    for family in wanted:
        plan = plan_asked(headers[0], partial(family.text_plan, headers))
        if plan is not None:
            return text_encoder(plan)
    found = "; ".join(f"{header.file.path.name} is {described(header)}" for header in headers)
    message = f"holds no text models of the kind {kind!r}: {found}."
    hint = f"Needed: {TEXT_NEEDS[kind]}." if kind in TEXT_NEEDS else "Choose the files of the kind, or another kind."
    raise CheckpointError(paths[0], message, hint, type="unknown_model_family")


def load_vae(path: Path) -> ImageCodec:
    """Open an autoencoder, alone in its file or inside a checkpoint. Raises `CheckpointError`."""
    header = Header(open_weights(path))
    plan = find_codec(header, ("", *CODEC_PREFIXES))
    if plan is None:
        message = f"holds no autoencoder; it is {described(header)}."
        raise CheckpointError(path, message, "Expected is a KL autoencoder or TAESD.", type="unknown_model_family")
    return image_codec(plan)


def load_tiny_autoencoder(encoder: Path | None, decoder: Path | None, latent_format: LatentFormat) -> ImageCodec:
    """Open TAESD from its two files, either of which may be left out, for latents of a format."""
    headers = {
        name: Header(open_weights(path))
        for name, path in (("encoder", encoder), ("decoder", decoder))
        if path is not None
    }
    for header in headers.values():
        channels = tiny_channels(header.shapes)
        if channels != latent_format.channels:
            message = f"is {described(header)}, not a part of TAESD for {latent_format.channels} channels."
            raise CheckpointError(header.file.path, message, type="unknown_model_family")
    build = partial(
        TinyAutoencoder,
        latent_format.channels,
        latent_format,
        encoder="encoder" in headers,
        decoder="decoder" in headers,
    )
    shapes = {
        f"taesd_{name}.{rest}": shape for name, header in headers.items() for rest, shape in header.shapes.items()
    }

    def read() -> dict[str, Tensor]:
        parts = ((name, header.file.read(header.names)) for name, header in headers.items())
        return {f"taesd_{name}.{rest}": tensor for name, tensors in parts for rest, tensor in tensors.items()}

    label = ", ".join(str(header.file.path) for header in headers.values())
    return ImageCodec(Weights(build, TensorSource(read, shapes), label), latent_format.channels)


def diffusion_model(plan: DiffusionPlan, family: str) -> DiffusionModel:
    """The handle of a planned diffusion model; raises `CheckpointError` when its file does not fit."""
    weights = planned_weights(plan.network)
    beside = _tensors_beside(cast(Header, plan.network.header).file)
    sampling = ModelSampling.of(plan.sampling)
    return DiffusionModel(weights, sampling, plan.latent_format, plan.read_condition, family, beside=beside)


def _tensors_beside(file: WeightFile) -> TensorSource | None:
    """What a file has for a model besides its network; None where it has nothing."""
    names = [name for name in file.shapes if name.startswith((AUGMENTATION_PREFIX, *VISION_PREFIXES))]
    if not names:
        return None

    def some(asked: Collection[str]) -> dict[str, Tensor]:
        return file.read({name: name for name in asked})

    shapes = {name: file.shapes[name] for name in names}
    return TensorSource(lambda: some(names), shapes, read_some=some, dtype_of=file.dtype)


def text_encoder(plan: TextPlan) -> TextEncoder:
    """The handle of planned text models."""
    parts = {
        name: TextPart(planned_weights(model.network), known_reader(model.reader))
        for name, model in plan.models.items()
    }
    return TextEncoder(parts, plan.combine)


def stored_as(model: DiffusionModel, dtype: torch.dtype) -> DiffusionModel:
    """The model with weights of an 8-bit type; what is 8 bits wide already stays as it is."""
    weights = model.weights
    return replace(model, weights=replace(weights, source=weights.source.rounded(dtype)))


def on_device(clip: TextEncoder, device: torch.device) -> TextEncoder:
    """The text models, to run on a device of their own."""
    parts = {name: replace(part, weights=replace(part.weights, device=device)) for name, part in clip.parts.items()}
    return replace(clip, parts=parts)


def known_reader(reader: PromptReader | str) -> PromptReader:
    """A reader by its name, or itself; raises KeyError."""
    return READERS[reader] if isinstance(reader, str) else reader


def image_codec(plan: CodecPlan) -> ImageCodec:
    """The handle of a planned autoencoder."""
    return ImageCodec(planned_weights(plan.network), plan.channels, plan.downscale)


def find_diffusion_model(header: Header) -> tuple[ModelFamily, DiffusionPlan]:
    """The family and the plan of the diffusion model in a file; raises `CheckpointError`."""
    for prefix in DIFFUSION_PREFIXES:
        below = header.below(prefix)
        if not below.shapes:
            continue
        for family in model_families():
            plan = plan_asked(below, partial(family.diffusion_plan, below))
            if plan is not None:
                return family, plan
    known = ", ".join(family.name for family in model_families() if family.name not in CODEC_FAMILIES)
    message = f"holds no diffusion model of a known family; it is {described(header)}."
    raise CheckpointError(header.file.path, message, f"Known families: {known}.", type="unknown_model_family")


def find_codec(header: Header, prefixes: Sequence[str]) -> CodecPlan | None:
    """The plan of the autoencoder below one of the prefixes of a file; None when there is none."""
    for prefix in prefixes:
        below = header.below(prefix)
        for family in model_families() if below.shapes else ():
            plan = plan_asked(below, partial(family.codec_plan, below))
            if plan is not None:
                return plan
    return None


def plan_asked(header: Header, ask: Callable[[], P]) -> P:
    """A family's answer; a tensor that it misses is told as an error of the file."""
    try:
        return ask()
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        message = f"is {described(header)} and cannot be loaded: {_deviation(header, error)}."
        hint = "Download or copy the file again."
        raise CheckpointError(header.file.path, message, hint, type="unknown_model_family") from error


def _deviation(header: Header, error: Exception) -> str:
    """What keeps a file of a known family from being planned, as far as an error in reading its shapes tells."""
    if isinstance(error, KeyError):
        return f"it lacks the tensor {error.args[0]!r}"
    odd = [
        f"{name!r} of shape {list(shape)}"
        for name, shape in header.shapes.items()
        if name.endswith(".weight") and (not shape or 0 in shape)
    ]
    return f"it has {odd[0]}" if odd else "its tensors have shapes that fit no network of their family"
