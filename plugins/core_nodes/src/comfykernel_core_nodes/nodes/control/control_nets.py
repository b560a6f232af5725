"""Nodes that load control networks and put them on conditions."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.control_loading import load_control_net
from comfykernel_core_nodes.diffusion.control_net import AppliedControlNet, ControlNet
from comfykernel_core_nodes.diffusion.image_codec import ImageCodec
from comfykernel_core_nodes.nodes.declare import core_node, extra_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.latent.pixels import present_codec
from comfykernel_core_nodes.nodes.open_sockets import OpenConditions, OpenControlNet, OpenImage, OpenVae
from comfykernel_core_nodes.nodes.sockets import Codec, Conditions, Model, VaeModel
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import Choice, Float, Image, Mask, Out, Socket

control_node = extra_node("nodes_controlnet")
sd3_node = extra_node("nodes_sd3")

FOLDER: Final = "controlnet"
AUTOMATIC: Final = "auto"
# What the hint of a union network may be, by the number that published networks were trained with.
UNION_KINDS: Final = {
    "openpose": 0,
    "depth": 1,
    "hed/pidi/scribble/ted": 2,
    "canny/lineart/anime_lineart/mlsd": 3,
    "normal": 4,
    "segment": 5,
    "tile": 6,
    "repaint": 7,
}

ControlModel: TypeAlias = Annotated[ControlNet, Socket("CONTROL_NET")]
ControlFile: TypeAlias = Annotated[str, Choice(source=FOLDER, bare=True)]
ControlStrength: TypeAlias = Annotated[float, Float(default=1.0, min=0.0, max=10.0, step=0.01)]
StartPercent: TypeAlias = Annotated[float, Float(default=0.0, min=0.0, max=1.0, step=0.001)]
EndPercent: TypeAlias = Annotated[float, Float(default=1.0, min=0.0, max=1.0, step=0.001)]
Positive: TypeAlias = Annotated[Conditions, Out("positive")]
Negative: TypeAlias = Annotated[Conditions, Out("negative")]


@core_node("ControlNetLoader", category="loaders", display_name="Load ControlNet Model")
def control_net_loader(context: NodeContext, control_net_name: ControlFile) -> ControlModel:
    """Load a control network or a T2I adapter.

    Raises:
        NotFound: there is no such file.
        ModelFileError: the file is damaged, or holds no control network.
    """
    path = context.models.path(FOLDER, control_net_name)
    with reported():
        return load_control_net(path)


@core_node("DiffControlNetLoader", category="loaders", display_name="Load ControlNet Model (diff)")
def diff_control_net_loader(context: NodeContext, model: Model, control_net_name: ControlFile) -> ControlModel:
    """Load a control network; a file of differences is added to the weights of the model.

    Raises:
        NotFound: there is no such file.
        ModelFileError: the file is damaged, or holds no control network.
    """
    path = context.models.path(FOLDER, control_net_name)
    with reported():
        return load_control_net(path, model)


@core_node(
    "ControlNetApply", category="conditioning/controlnet", display_name="Apply ControlNet (OLD)", deprecated=True
)
def control_net_apply(
    conditioning: Conditions, control_net: ControlModel, image: Image, strength: ControlStrength
) -> Conditions:
    """Let a control network follow a picture, on both sides of guidance."""
    if strength == 0:
        return conditioning
    return with_control(conditioning, control_net.applied(image, strength=strength, both_sides=True))


@core_node("ControlNetApplyAdvanced", category="conditioning/controlnet", display_name="Apply ControlNet")
def control_net_apply_advanced(
    positive: Conditions,
    negative: Conditions,
    control_net: ControlModel,
    image: Image,
    strength: ControlStrength,
    start_percent: StartPercent,
    end_percent: EndPercent,
    vae: VaeModel = None,
) -> tuple[Positive, Negative]:
    """Let a control network follow a picture during a part of the run.

    Networks that see their picture as a latent need the VAE of their model.
    """
    if strength == 0:
        return positive, negative
    applied = control_net.applied(
        image, strength=strength, start_percent=start_percent, end_percent=end_percent, vae=autoencoder(vae)
    )
    return with_control(positive, applied), with_control(negative, applied)


@sd3_node(
    "ControlNetApplySD3", category="conditioning/controlnet", display_name="Apply Controlnet with VAE", deprecated=True
)
def control_net_apply_sd3(
    positive: OpenConditions,
    negative: OpenConditions,
    control_net: OpenControlNet,
    vae: OpenVae,
    image: OpenImage,
    strength: ControlStrength,
    start_percent: StartPercent,
    end_percent: EndPercent,
) -> tuple[Positive, Negative]:
    """Let a control network that sees latents follow a picture during a part of the run."""
    return control_net_apply_advanced(
        positive, negative, control_net, image, strength, start_percent, end_percent, present_codec(vae)
    )


@control_node("SetUnionControlNetType", category="conditioning/controlnet")
def set_union_control_net_type(
    control_net: ControlModel, type: Annotated[str, Choice(AUTOMATIC, *UNION_KINDS, bare=True)]
) -> ControlModel:
    """Tell a union network what kind of picture it is given; networks of one kind stay as they are."""
    if type == AUTOMATIC:
        return control_net.with_kinds()
    return control_net.with_kinds(UNION_KINDS[type])


@control_node("ControlNetInpaintingAliMamaApply", category="conditioning/controlnet")
def control_net_inpainting_apply(
    positive: Conditions,
    negative: Conditions,
    control_net: ControlModel,
    vae: VaeModel,
    image: Image,
    mask: Mask,
    strength: ControlStrength,
    start_percent: StartPercent,
    end_percent: EndPercent,
) -> tuple[Positive, Negative]:
    """Let an inpainting control network see a picture with its masked part hidden."""
    if strength == 0:
        return positive, negative
    applied = control_net.applied(
        image,
        strength=strength,
        start_percent=start_percent,
        end_percent=end_percent,
        vae=autoencoder(present_codec(vae)),
        mask=mask,
    )
    return with_control(positive, applied), with_control(negative, applied)


def with_control(conditions: Conditions, applied: AppliedControlNet) -> list[Conditioning]:
    """Conditions on which one more control network acts."""
    return [each.with_changes(controls=(*each.controls, applied)) for each in conditions]


def autoencoder(vae: Codec | None) -> ImageCodec | None:
    """An autoencoder whose latents a control network can see."""
    if vae is None or isinstance(vae, ImageCodec):
        return vae
    raise BadInput(
        "A control network sees latents of an autoencoder; this VAE works on pixels.",
        type="wrong_model",
        hint="Load the autoencoder of the model with VAELoader.",
    )
