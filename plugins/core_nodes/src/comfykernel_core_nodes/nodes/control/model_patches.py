"""Nodes that load additions to a model, and put them on it."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from comfykernel_core_nodes.diffusion.style_projection import StyleProjector, load_style_projector
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.sockets import Model, VaeModel
from comfykernel_core_nodes.nodes.vision.encoders import SeenImage
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import Choice, Float, Image, Mask, Socket

patch_node = extra_node("nodes_model_patch")

FOLDER: Final = "model_patches"

ModelPatch: TypeAlias = Annotated[StyleProjector, Socket("MODEL_PATCH")]


@patch_node("ModelPatchLoader", category="advanced/loaders", experimental=True)
def model_patch_loader(context: NodeContext, name: Annotated[str, Choice(source=FOLDER, bare=True)]) -> ModelPatch:
    """Load an addition to a model. Known is the projector of USO, which gives Flux.1 the style of a picture.

    Raises:
        NotFound: there is no such file.
        ModelFileError: the file is damaged, or of a kind that is not known.
    """
    path = context.models.path(FOLDER, name)
    with reported():
        return load_style_projector(path)


@patch_node("USOStyleReference", category="advanced/model_patches/flux", experimental=True)
def uso_style_reference(model: Model, model_patch: ModelPatch, clip_vision_output: SeenImage) -> Model:
    """Let Flux.1 follow the style of a picture, seen by SigLIP; several in a row are all followed."""
    with reported():
        return model_patch.applied(model, clip_vision_output)


@patch_node("QwenImageDiffsynthControlnet", category="advanced/loaders/qwen", experimental=True)
def qwen_image_diffsynth_controlnet(
    model: Model,
    model_patch: ModelPatch,
    vae: VaeModel,
    image: Image,
    strength: Annotated[float, Float(default=1.0, min=-10.0, max=10.0, step=0.01)],
    mask: Annotated[Mask | None, Socket("MASK")] = None,
) -> Model:
    """Let Qwen-Image follow a picture by a control network of DiffSynth, for model families that have one.

    Raises:
        BadInput: always for the model patches that can be loaded here, which are those of USO for Flux.1.
    """
    raise BadInput(
        f"The model patch {model_patch.weights.label} is USO's for Flux.1, the model is {model.family or 'unknown'}; "
        "expected are a control network of DiffSynth and a Qwen-Image model.",
        type="wrong_model",
        hint="Qwen-Image is no built-in family: install a distribution that brings it, with nodes of its own.",
    )
