"""Model files as handles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from torch import Tensor

from comfykernel_compat_comfyui.class_nodes.borders import to_pack
from comfykernel_compat_comfyui.diffusion_bridge import library
from comfykernel_compat_comfyui.diffusion_bridge.codec_face import VAE
from comfykernel_compat_comfyui.diffusion_bridge.patcher import ModelPatcher, patcher_of
from comfykernel_compat_comfyui.diffusion_bridge.text_face import CLIP, clip_of
from comfykernel_compat_comfyui.diffusion_bridge.vision_face import StyleModelFace as StyleModel
from comfykernel_compat_comfyui.diffusion_bridge.vision_face import style_of
from comfykernel_compat_comfyui.lacking_names import lacking_function

__all__ = ["CLIP", "VAE", "CLIPType", "StyleModel", "load_checkpoint_guess_config", "load_lora_for_models"]


class CLIPType(Enum):
    """Kinds of text models."""

    STABLE_DIFFUSION = 1
    STABLE_CASCADE = 2
    SD3 = 3
    STABLE_AUDIO = 4
    HUNYUAN_DIT = 5
    FLUX = 6
    MOCHI = 7
    LTXV = 8
    HUNYUAN_VIDEO = 9
    PIXART = 10
    COSMOS = 11
    LUMINA2 = 12
    WAN = 13
    HIDREAM = 14
    CHROMA = 15
    ACE = 16
    OMNIGEN2 = 17
    QWEN_IMAGE = 18
    HUNYUAN_IMAGE = 19


def load_checkpoint_guess_config(
    ckpt_path: str, output_vae: bool = True, output_clip: bool = True, output_clipvision: bool = False,
    embedding_directory: Any = None, output_model: bool = True, model_options: Any = None,
    te_model_options: Any = None, metadata: Any = None,
) -> tuple[Any, Any, Any, Any]:  # fmt: skip
    """Model, text models, autoencoder and (never) vision model of a checkpoint; what is missing or unwanted is None."""
    found = library.load_checkpoint(Path(ckpt_path))
    return (
        to_pack(found.model) if output_model else None,
        to_pack(found.clip) if output_clip and found.clip is not None else None,
        to_pack(found.vae) if output_vae and found.vae is not None else None,
        None,
    )


def load_checkpoint(
    config_path: Any = None, ckpt_path: str | None = None, output_vae: bool = True, output_clip: bool = True,
    embedding_directory: Any = None, state_dict: Any = None, config: Any = None,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """Model, text models and autoencoder of a checkpoint; its configuration is read from the file itself."""
    if ckpt_path is None:
        return lacking_function("comfy.sd.load_checkpoint(state_dict=...)")()  # type: ignore[no-any-return]
    model, clip, vae, _ = load_checkpoint_guess_config(ckpt_path, output_vae=output_vae, output_clip=output_clip)
    return model, clip, vae


def load_diffusion_model(unet_path: str, model_options: Any = None) -> ModelPatcher:
    """A diffusion model alone."""
    return patcher_of(library.load_diffusion_model(Path(unet_path)))


def load_unet(unet_path: str, dtype: Any = None) -> ModelPatcher:
    """A diffusion model alone."""
    return load_diffusion_model(unet_path)


def load_clip(
    ckpt_paths: Sequence[str], embedding_directory: Any = None, clip_type: CLIPType = CLIPType.STABLE_DIFFUSION,
    model_options: Any = None,
) -> CLIP:  # fmt: skip
    """Text models from files of their own."""
    return clip_of(library.load_text_encoder([Path(path) for path in ckpt_paths], clip_type.name.lower()))


def load_lora_for_models(
    model: ModelPatcher | None, clip: CLIP | None, lora: Mapping[str, Tensor], strength_model: float,
    strength_clip: float,
) -> tuple[Any, Any]:  # fmt: skip
    """Clones of a model and its text models with a LoRA."""
    new_model = None if model is None else model.clone()
    new_clip = None if clip is None else clip.clone()
    handles = (None if model is None else model.handle, None if clip is None else clip.handle)
    result = library.apply_lora(lora, *handles, strength_model, strength_clip)
    if new_model is not None and result.model is not None:
        new_model.handle = result.model
    if new_clip is not None and result.clip is not None:
        new_clip.handle = result.clip
    return new_model, new_clip


def load_style_model(ckpt_path: str) -> StyleModel:
    """A style model."""
    return style_of(library.load_style_model(Path(ckpt_path)))


def load_gligen(ckpt_path: str) -> Any:
    """A network that puts texts into boxes, for the nodes that take one."""
    return library.load_gligen(Path(ckpt_path))


load_bypass_lora_for_models = lacking_function("comfy.sd.load_bypass_lora_for_models")
load_diffusion_model_state_dict = lacking_function("comfy.sd.load_diffusion_model_state_dict")
load_state_dict_guess_config = lacking_function("comfy.sd.load_state_dict_guess_config")
load_text_encoder_state_dicts = lacking_function("comfy.sd.load_text_encoder_state_dicts")
load_unet_state_dict = lacking_function("comfy.sd.load_unet_state_dict")
save_checkpoint = lacking_function("comfy.sd.save_checkpoint")
