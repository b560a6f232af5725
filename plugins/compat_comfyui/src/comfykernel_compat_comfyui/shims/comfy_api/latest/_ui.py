"""What nodes show: what packs know as ``ui``."""

from __future__ import annotations

from comfykernel_compat_comfyui.schema_nodes.io_types import FolderType
from comfykernel_compat_comfyui.schema_nodes.node_output import _UIOutput
from comfykernel_compat_comfyui.schema_nodes.saved_audio import AudioSaveHelper
from comfykernel_compat_comfyui.schema_nodes.saved_images import ImageSaveHelper
from comfykernel_compat_comfyui.schema_nodes.shown_results import (
    PreviewAudio,
    PreviewImage,
    PreviewMask,
    PreviewText,
    PreviewUI3D,
    PreviewVideo,
    SavedAudios,
    SavedImages,
    SavedResult,
)

__all__ = [
    "AudioSaveHelper",
    "FolderType",
    "ImageSaveHelper",
    "PreviewAudio",
    "PreviewImage",
    "PreviewMask",
    "PreviewText",
    "PreviewUI3D",
    "PreviewVideo",
    "SavedAudios",
    "SavedImages",
    "SavedResult",
    "_UIOutput",
]
