"""The peer's model folders: names in its order, where each is searched, and which endings count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS: Final = frozenset({".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft"})
"""Endings of files with weights."""

ALL: Final[frozenset[str]] = frozenset()

WHOLE_FOLDERS: Final = frozenset({"folder"})
"""In place of endings: models are folders with an index file, as diffusers lays them out."""

FOLDER_INDEX: Final = "model_index.json"

# Folder name -> (folders below the models folder, endings).
_FOLDERS: Final[dict[str, tuple[tuple[str, ...], frozenset[str]]]] = {
    "checkpoints": (("checkpoints",), WEIGHTS),
    "configs": (("configs",), frozenset({".yaml"})),
    "loras": (("loras",), WEIGHTS),
    "vae": (("vae",), WEIGHTS),
    "text_encoders": (("text_encoders", "clip"), WEIGHTS),
    "diffusion_models": (("unet", "diffusion_models"), WEIGHTS),
    "clip_vision": (("clip_vision",), WEIGHTS),
    "style_models": (("style_models",), WEIGHTS),
    "embeddings": (("embeddings",), WEIGHTS),
    "diffusers": (("diffusers",), WHOLE_FOLDERS),
    "vae_approx": (("vae_approx",), WEIGHTS),
    "controlnet": (("controlnet", "t2i_adapter"), WEIGHTS),
    "gligen": (("gligen",), WEIGHTS),
    "upscale_models": (("upscale_models",), WEIGHTS),
    "custom_nodes": ((), ALL),
    "hypernetworks": (("hypernetworks",), WEIGHTS),
    "photomaker": (("photomaker",), WEIGHTS),
    "classifiers": (("classifiers",), frozenset({""})),
    "model_patches": (("model_patches",), WEIGHTS),
    "audio_encoders": (("audio_encoders",), WEIGHTS),
}

# Models that a workflow has saved are found again below the output folder.
_SAVED: Final = {
    "checkpoints": "checkpoints",
    "text_encoders": "clip",
    "vae": "vae",
    "diffusion_models": "diffusion_models",
    "loras": "loras",
}

_OLD_NAMES: Final = {"unet": "diffusion_models", "clip": "text_encoders"}


def current_name(folder: str) -> str:
    """The name of today of a folder that configurations may call by an old name."""
    return _OLD_NAMES.get(folder, folder)


def peer_folders(models: Path, *, custom_nodes: Path, output: Path) -> dict[str, tuple[list[Path], frozenset[str]]]:
    """Folder name -> (where its files are searched, endings), in the order in which clients see the folders."""
    folders = {name: ([models / below for below in places], endings) for name, (places, endings) in _FOLDERS.items()}
    folders["custom_nodes"][0].append(custom_nodes)
    for name, below in _SAVED.items():
        folders[name][0].append(output / below)
    return folders
