"""Models in the folder layout of diffusers: a file, or several, for each part."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from comfykernel_core_nodes.diffusion.checkpoints import (
    Checkpoint,
    diffusion_model,
    find_codec,
    find_diffusion_model,
    image_codec,
    plan_asked,
    text_encoder,
)
from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.errors import CheckpointError
from comfykernel_core_nodes.diffusion.joined_files import open_indexed
from comfykernel_core_nodes.diffusion.model_header import Header
from comfykernel_core_nodes.diffusion.model_sampling import ModelSampling
from comfykernel_core_nodes.diffusion.weight_files import WeightFile, open_weights
from comfykernel_sdk.families import SamplingSpec

INDEX: Final = "model_index.json"
NETWORK_FOLDERS: Final = ("unet", "transformer")
TEXT_FOLDERS: Final = ("text_encoder", "text_encoder_2", "text_encoder_3")
CODEC_FOLDER: Final = "vae"
# Names of the file of a network and of a text model, safe formats first.
NETWORK_FILES: Final = ("diffusion_pytorch_model",)
TEXT_FILES: Final = ("model", "pytorch_model")
ENDINGS: Final = (".fp16.safetensors", ".safetensors", ".safetensors.index.json", ".fp16.bin", ".bin")


def load_diffusers_folder(folder: Path) -> Checkpoint:
    """Open a model's folder; weights are read when first used. Raises `CheckpointError`."""
    if not (folder / INDEX).is_file():
        message = f"is no model in the layout of diffusers: it has no {INDEX}."
        raise CheckpointError(folder, message, type="checkpoint_not_found")
    networks = [file for name in NETWORK_FOLDERS if (file := _part(folder / name, NETWORK_FILES)) is not None]
    if not networks:
        message = f"has no diffusion model: neither {' nor '.join(NETWORK_FOLDERS)} holds a file of one."
        raise CheckpointError(folder, message, type="checkpoint_not_found")
    family, plan = find_diffusion_model(Header(networks[0]))
    texts = [Header(file) for name in TEXT_FOLDERS if (file := _part(folder / name, TEXT_FILES)) is not None]
    text = plan_asked(texts[0], partial(family.text_plan, texts)) if texts else None
    codec_file = _part(folder / CODEC_FOLDER, NETWORK_FILES)
    codec = None if codec_file is None else find_codec(Header(codec_file), ("",))
    return Checkpoint(
        _as_scheduled(diffusion_model(plan, family.name), folder),
        None if text is None else text_encoder(text),
        None if codec is None else image_codec(codec),
    )


def _part(folder: Path, names: tuple[str, ...]) -> WeightFile | None:
    """The file of a part, or its parts as one; None when the folder holds none."""
    for ending in ENDINGS:
        for name in names:
            path = folder / (name + ending)
            if path.is_file():
                return open_indexed(path) if ending.endswith(".json") else open_weights(path)
    return None


def _as_scheduled(model: DiffusionModel, folder: Path) -> DiffusionModel:
    """The model as the folder's scheduler says that it was trained: its tensors do not tell that it predicts v."""
    path = folder / "scheduler" / "scheduler_config.json"
    if not path.is_file():
        return model
    try:
        config = json.loads(path.read_text())
    except ValueError as error:
        raise CheckpointError(path, "is not JSON.", "Download or copy the folder again.") from error
    if not isinstance(config, dict) or config.get("prediction_type") != "v_prediction":
        return model
    options = {"zero_terminal_snr": 1.0} if config.get("rescale_betas_zero_snr") else {}
    return replace(model, sampling=ModelSampling.of(SamplingSpec("velocity", options)))
