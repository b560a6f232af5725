"""The published layouts of checkpoints: what each family calls its parts, and how their tensors are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.errors import DiffusionError
from comfykernel_core_nodes.diffusion.image_codec import ImageCodec
from comfykernel_core_nodes.diffusion.parametrisation import Velocity
from comfykernel_core_nodes.diffusion.safetensors_stream import Entry, given
from comfykernel_core_nodes.diffusion.sigmas import LogUniformLevels
from comfykernel_core_nodes.diffusion.text_encoding import TextEncoder
from comfykernel_core_nodes.diffusion.text_layouts import OPEN_CLIP_LAYER_NAMES, OPEN_CLIP_OUTER_NAMES
from comfykernel_core_nodes.diffusion.unclip import AUGMENTATION_PREFIX, VISION_PREFIX, VISION_PREFIXES
from comfykernel_core_nodes.diffusion.vision_encoding import VisionEncoder
from comfykernel_core_nodes.diffusion.weights import TensorSource, Weights

NETWORK_PREFIX: Final = "model.diffusion_model."
CODEC_PREFIX: Final = "first_stage_model."
PROJECTION: Final = "text_projection.weight"
CPU: Final = torch.device("cpu")
# Noise levels above this belong to a schedule that ends in pure noise.
PURE_NOISE_SIGMA: Final = 1000.0

# How a text model's tensors are named: as Hugging Face does, without its projection, as open_clip does, or as they are.
Form = Literal["hugging_face", "unprojected", "open_clip", "plain"]


class SaveError(DiffusionError, ValueError):
    """Raised when models can't be saved in one file."""

    type = "models_do_not_fit"


class TextPlace(NamedTuple):
    """Where a checkpoint has a text model, and in which form."""

    prefix: str
    form: Form


@dataclass(frozen=True, slots=True)
class SavedLayout:
    """A family's checkpoints; `architecture` and `implementation` are its names in files' metadata (ModelSpec)."""

    texts: Mapping[str, TextPlace]
    architecture: str = ""
    implementation: str = ""


_LATER_TEXTS: Final = {
    "l": TextPlace("text_encoders.clip_l.transformer.", "hugging_face"),
    "g": TextPlace("text_encoders.clip_g.transformer.", "hugging_face"),
    "t5xxl": TextPlace("text_encoders.t5xxl.transformer.", "plain"),
}
_SD2_TEXTS: Final = {"h": TextPlace("cond_stage_model.model.", "open_clip")}

LAYOUTS: Final[Mapping[str, SavedLayout]] = {
    "sd1": SavedLayout({"l": TextPlace("cond_stage_model.transformer.", "unprojected")}, "stable-diffusion-v1", "sgm"),
    "sd2": SavedLayout(_SD2_TEXTS, "stable-diffusion-v2", "sgm"),
    "sd2_unclip": SavedLayout(_SD2_TEXTS, "stable-diffusion-v2-unclip", "sgm"),
    "sdxl": SavedLayout(
        {
            "l": TextPlace("conditioner.embedders.0.transformer.", "unprojected"),
            "g": TextPlace("conditioner.embedders.1.model.", "open_clip"),
        },
        "stable-diffusion-xl-v1-base",
        "sgm",
    ),
    "sdxl_refiner": SavedLayout(
        {"g": TextPlace("conditioner.embedders.0.model.", "open_clip")}, "stable-diffusion-xl-v1-refiner", "sgm"
    ),
    "sd3": SavedLayout(_LATER_TEXTS, "stable-diffusion-3", "sgm"),
    "flux": SavedLayout(_LATER_TEXTS, "flux-1", "https://github.com/black-forest-labs/flux"),
}

# Files of a text model alone: what is added to the name, and the form.
TEXT_FILES: Final[Mapping[str, tuple[str, Form]]] = {
    "l": ("clip_l", "hugging_face"),
    "g": ("clip_g", "hugging_face"),
    "h": ("clip_h", "hugging_face"),
}


def checkpoint_entries(
    model: DiffusionModel, clip: TextEncoder | None, codec: ImageCodec | None, vision: VisionEncoder | None = None
) -> list[Entry]:
    """All tensors of a checkpoint of the model's family.

    vision: an image encoder in place of the one that the model's own checkpoint has. Raises `SaveError` for text models
    of another family.
    """
    entries = model_entries(model)
    for name, part in ({} if clip is None else clip.parts).items():
        place = _text_place(model.family, name)
        entries += text_entries(part.weights, place.prefix, place.form)
    if codec is not None:
        entries += weight_entries(codec.weights, CODEC_PREFIX)
    if vision is not None:
        return [*entries, *weight_entries(vision.weights, VISION_PREFIX)]
    return [*entries, *_entries_beside(model, VISION_PREFIXES)]


def model_entries(model: DiffusionModel) -> list[Entry]:
    """The tensors of a diffusion model alone, with what tells how it was trained."""
    network = weight_entries(model.weights, NETWORK_PREFIX)
    return [*network, *sampling_marks(model), *_entries_beside(model, (AUGMENTATION_PREFIX,))]


def _entries_beside(model: DiffusionModel, prefixes: tuple[str, ...]) -> Iterator[Entry]:
    """What the model's checkpoint has besides its network below some prefixes, as it is there."""
    source = model.beside
    if source is None:
        return
    for name, shape in source.shapes.items():
        if name.startswith(prefixes):
            yield Entry(name, source.dtype(name), shape, partial(_read, source, name))


def _read(source: TensorSource, name: str) -> Tensor:
    return source.some([name])[name]


def _text_place(family: str, part: str) -> TextPlace:
    layout = LAYOUTS.get(family)
    if layout is None:
        return TextPlace(f"text_encoders.{text_file(part)[0]}.transformer.", text_file(part)[1])
    if part not in layout.texts:
        wanted = ", ".join(layout.texts)
        message = f"The model is of the family {family}, whose checkpoints hold the text models {wanted}; "
        raise SaveError(f"{message}this CLIP has {part}.", "Connect the text models that belong to the model.")
    return layout.texts[part]


def text_file(part: str) -> tuple[str, Form]:
    """The name and the form of a file of a text model alone."""
    return TEXT_FILES.get(part, (part, "plain"))


def weight_entries(weights: Weights[nn.Module], prefix: str = "") -> list[Entry]:
    """Tensors by the network's own names, with their patches, in the precision of their file."""
    return [_entry(weights, name, prefix + name) for name in weights.source.shapes]


def text_entries(weights: Weights[nn.Module], prefix: str, form: Form) -> list[Entry]:
    """The tensors of a text model in a form."""
    if form == "plain":
        return weight_entries(weights, prefix)
    if form == "open_clip":
        return list(_open_clip_entries(weights, prefix))
    return [
        _entry(weights, name, prefix + (name if name == PROJECTION else f"text_model.{name}"))
        for name in weights.source.shapes
        if name != PROJECTION or form == "hugging_face"
    ]


def _open_clip_entries(weights: Weights[nn.Module], prefix: str) -> Iterator[Entry]:
    """The layout of open_clip: queries, keys and values stacked, the projection transposed."""
    outer = {ours: theirs for theirs, ours in OPEN_CLIP_OUTER_NAMES.items()}
    inner = {ours: theirs for theirs, ours in OPEN_CLIP_LAYER_NAMES.items()}
    for name, shape in weights.source.shapes.items():
        if name in outer:
            yield _entry(weights, name, prefix + outer[name])
        elif name == PROJECTION:
            make = partial(_transposed, partial(_saved, weights, name))
            yield Entry(f"{prefix}text_projection", weights.source.dtype(name), shape[::-1], make)
        else:
            _, _, layer, module = name.split(".", 3)
            module, _, ending = module.rpartition(".")
            place = f"{prefix}transformer.resblocks.{layer}"
            if module == "self_attn.q_proj":
                names = [name.replace("q_proj", f"{part}_proj") for part in "qkv"]
                stacked = (shape[0] * len(names), *shape[1:])
                make = partial(_stacked, [partial(_saved, weights, each) for each in names])
                yield Entry(f"{place}.attn.in_proj_{ending}", weights.source.dtype(name), stacked, make)
            elif module in inner:
                yield _entry(weights, name, f"{place}.{inner[module]}.{ending}")


def sampling_marks(model: DiffusionModel) -> list[Entry]:
    """The empty tensors and numbers by which a checkpoint tells how its network was trained."""
    sampling = model.sampling
    if not isinstance(sampling.parametrisation, Velocity):
        return []
    if isinstance(sampling.levels, LogUniformLevels):
        numbers = {"sigma_max": sampling.sigma_max, "sigma_min": sampling.sigma_min}
        return [given(f"edm_vpred.{name}", torch.tensor(value)) for name, value in numbers.items()]
    marks = ["v_pred", "ztsnr"] if sampling.sigma_max > PURE_NOISE_SIGMA else ["v_pred"]
    return [given(name, torch.empty(0)) for name in marks]


def layout_metadata(model: DiffusionModel, title: str) -> dict[str, str]:
    """What a checkpoint's header says of itself (ModelSpec 1.0.0, https://github.com/Stability-AI/ModelSpec)."""
    layout = LAYOUTS.get(model.family)
    if layout is None:
        return {}
    flowing = model.family in ("sd3", "flux")
    prediction = "v" if isinstance(model.sampling.parametrisation, Velocity) else "epsilon"
    metadata = {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.implementation": layout.implementation,
        "modelspec.architecture": layout.architecture,
        "modelspec.title": title,
    }
    return metadata if flowing else {**metadata, "modelspec.predict_key": prediction}


def _entry(weights: Weights[nn.Module], name: str, saved_name: str) -> Entry:
    dtype, shape = weights.source.dtype(name), weights.source.shapes[name]
    return Entry(saved_name, dtype, shape, partial(_saved, weights, name))


def _saved(weights: Weights[nn.Module], name: str) -> Tensor:
    with torch.inference_mode(mode=False), torch.no_grad():
        return weights.patched(name, CPU, weights.source.dtype(name))


def _transposed(make: Callable[[], Tensor]) -> Tensor:
    return make().t()


def _stacked(makers: list[Callable[[], Tensor]]) -> Tensor:
    return torch.cat([make() for make in makers])
