"""Nodes for checkpoints in other forms: with a configuration, with an image encoder, as a folder of parts."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from comfykernel_core_nodes.diffusion.checkpoints import load_checkpoint
from comfykernel_core_nodes.diffusion.diffusers_folders import load_diffusers_folder
from comfykernel_core_nodes.diffusion.training_configs import PUBLISHED_CONFIGS, configured, read_config
from comfykernel_core_nodes.diffusion.vision_encoding import VisionEncoder
from comfykernel_core_nodes.nodes.declare import core_node, extra_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.sockets import ClipModel, Model, VaeModel
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.errors import NotFound
from comfykernel_sdk.sockets import Choice, Socket

video_node = extra_node("nodes_video_model")

CheckpointFile: TypeAlias = Annotated[str, Choice(source="checkpoints", bare=True)]
Vision: TypeAlias = Annotated[VisionEncoder | None, Socket("CLIP_VISION")]


@core_node(
    "CheckpointLoader",
    category="advanced/loaders",
    display_name="Load Checkpoint With Config (DEPRECATED)",
    deprecated=True,
)
def checkpoint_loader(
    context: NodeContext,
    config_name: Annotated[str, Choice(source="configs", extra=tuple(PUBLISHED_CONFIGS), bare=True)],
    ckpt_name: CheckpointFile,
) -> tuple[Model, ClipModel, VaeModel]:
    """Load a checkpoint as a configuration says that it was trained: for models that predict v and do not tell it.

    Raises:
        NotFound: there is no such checkpoint or configuration.
        ModelFileError: the checkpoint is damaged or of an unknown kind.
    """
    path = context.models.path("checkpoints", ckpt_name)
    try:
        config_path = context.models.path("configs", config_name)
    except NotFound:
        if config_name not in PUBLISHED_CONFIGS:
            raise
        config_path = None
    with reported():
        config = PUBLISHED_CONFIGS[config_name] if config_path is None else read_config(config_path)
        checkpoint = configured(load_checkpoint(path), config)
    return checkpoint.model, checkpoint.clip, checkpoint.vae


@core_node("unCLIPCheckpointLoader", category="loaders")
def unclip_checkpoint_loader(
    context: NodeContext, ckpt_name: CheckpointFile
) -> tuple[Model, ClipModel, VaeModel, Vision]:
    """Load a checkpoint that also holds an image encoder, for models that pictures steer.

    Raises:
        NotFound: there is no such file.
        ModelFileError: the file is damaged or holds a model of an unknown kind.
    """
    path = context.models.path("checkpoints", ckpt_name)
    with reported():
        checkpoint = load_checkpoint(path)
    return checkpoint.model, checkpoint.clip, checkpoint.vae, checkpoint.vision


@video_node(
    "ImageOnlyCheckpointLoader",
    category="loaders/video_models",
    display_name="Image Only Checkpoint Loader (img2vid model)",
)
def image_only_checkpoint_loader(context: NodeContext, ckpt_name: CheckpointFile) -> tuple[Model, Vision, VaeModel]:
    """Load a checkpoint whose model is steered by pictures alone.

    Raises:
        NotFound: there is no such file.
        ModelFileError: the file is damaged or holds a model of an unknown kind.
    """
    path = context.models.path("checkpoints", ckpt_name)
    with reported():
        checkpoint = load_checkpoint(path)
    return checkpoint.model, checkpoint.vision, checkpoint.vae


@core_node("DiffusersLoader", category="advanced/loaders/deprecated")
def diffusers_loader(
    context: NodeContext, model_path: Annotated[str, Choice(source="diffusers", bare=True)]
) -> tuple[Model, ClipModel, VaeModel]:
    """Load a model from a folder in the layout of diffusers.

    Raises:
        NotFound: there is no such folder.
        ModelFileError: a file of it is damaged or of an unknown kind.
    """
    path = context.models.path("diffusers", model_path)
    with reported():
        checkpoint = load_diffusers_folder(path)
    return checkpoint.model, checkpoint.clip, checkpoint.vae
