"""Nodes for LoRAs as values: laid over a model, and taken from the difference of two models."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, TypeAlias

from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.lora import apply_lora
from comfykernel_core_nodes.diffusion.lora_extraction import Named, difference_entries, lora_entries
from comfykernel_core_nodes.diffusion.safetensors_stream import Entry
from comfykernel_core_nodes.diffusion.saved_layouts import text_file
from comfykernel_core_nodes.diffusion.text_encoding import TextEncoder
from comfykernel_core_nodes.diffusion.weights import Weights
from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.errors import reported
from comfykernel_core_nodes.nodes.merging.saving import save_entries
from comfykernel_core_nodes.nodes.sockets import Model, Strength
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import Choice, ExtraPngInfo, Int, PromptGraph, Socket, Text, Toggle

extract_node = extra_node("nodes_lora_extract")
train_node = extra_node("nodes_train")

STANDARD, WHOLE = "standard", "full_diff"
MODEL_PREFIX = "diffusion_model."

LoraTensors: TypeAlias = Annotated[Mapping[str, Tensor], Socket("LORA_MODEL", bare=False)]
OpenModel: TypeAlias = Annotated[DiffusionModel, Socket("MODEL", bare=False)]
OptionalModel: TypeAlias = Annotated[DiffusionModel | None, Socket("MODEL", bare=False)]
OptionalClip: TypeAlias = Annotated[TextEncoder | None, Socket("CLIP", bare=False)]


@train_node("LoraModelLoader", category="loaders", display_name="Load LoRA Model", experimental=True)
def lora_model_loader(model: OpenModel, lora: LoraTensors, strength_model: Strength) -> Model:
    """Change a diffusion model by a LoRA that another node gives.

    Raises:
        BadInput: the LoRA fits nothing in the model.
    """
    if strength_model == 0:
        return model
    with reported():
        changed = apply_lora(lora, model, None, strength_model, 0.0)
    if changed.model is model:
        message = f"None of the LoRA's {len(lora)} tensors fits the model."
        raise BadInput(message, type="models_do_not_fit", hint="The LoRA must be made for the model's family.")
    return changed.model or model


@extract_node(
    "LoraSave", category="_for_testing", display_name="Extract and Save Lora", output_node=True, experimental=True
)
def lora_save(
    context: NodeContext,
    filename_prefix: Annotated[str, Text(default="loras/ComfyUI_extracted_lora", multiline=False)],
    rank: Annotated[int, Int(default=8, min=1, max=4096, step=1)],
    lora_type: Annotated[str, Choice(STANDARD, WHOLE, as_list=False, options={"multiselect": False})],
    bias_diff: Annotated[bool, Toggle(default=True)],
    model_diff: OptionalModel = None,
    text_encoder_diff: OptionalClip = None,
    prompt: PromptGraph = None,
    extra_pnginfo: ExtraPngInfo = None,
) -> None:
    """Save the difference of two models, as the nodes that subtract give it, as a LoRA file.

    Raises:
        BadInput: there is no difference, or one with weights that are no numbers.
    """
    parts: list[tuple[Weights[nn.Module], Named]] = []
    if model_diff is not None:
        parts.append((model_diff.weights, MODEL_PREFIX.__add__))
    for name, part in ({} if text_encoder_diff is None else text_encoder_diff.parts).items():
        parts.append((part.weights, partial(_text_name, name)))
    if not parts:
        raise BadInput("There is no difference to save.", type="missing_model_part", hint="Connect a model_diff.")
    entries: list[Entry] = []
    with reported():
        for weights, named in parts:
            context.check_cancelled()
            if lora_type == WHOLE:
                entries += difference_entries(weights, named, biases=bias_diff)
            else:
                entries += lora_entries(weights, named, rank, biases=bias_diff)
    save_entries(context, entries, filename_prefix, {})


def _text_name(part: str, module: str) -> str:
    """The name that files have for a module of a text model."""
    file, form = text_file(part)
    folder = "" if form == "plain" or module == "text_projection" else "text_model."
    return f"text_encoders.{file}.transformer.{folder}{module}"
