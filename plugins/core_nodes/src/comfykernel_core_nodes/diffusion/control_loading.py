"""Control networks and adapters from files: what a file holds, told from its header."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from comfykernel_core_nodes.diffusion import latent_formats
from comfykernel_core_nodes.diffusion.control_calls import (
    AdapterCaller,
    ControlCaller,
    FluxCaller,
    MMDiTCaller,
    StreamCaller,
    UNetCaller,
)
from comfykernel_core_nodes.diffusion.control_lora import CONTROL_LORA_MARK, control_lora_from
from comfykernel_core_nodes.diffusion.control_net import ControlNet, LatentHint, PixelHint
from comfykernel_core_nodes.diffusion.controlnet_transformers import (
    ControlFlux,
    ControlMMDiT,
    ControlStream,
    control_flux_config_from,
    control_mmdit_config_from,
    control_stream_config_from,
)
from comfykernel_core_nodes.diffusion.controlnet_unet import ControlUNet, control_unet_config_from
from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.errors import CheckpointError
from comfykernel_core_nodes.diffusion.file_kinds import described
from comfykernel_core_nodes.diffusion.latent_formats import LatentFormat
from comfykernel_core_nodes.diffusion.model_header import Header
from comfykernel_core_nodes.diffusion.t2i_adapter import UNSHUFFLE, UNSHUFFLE_XL, T2IAdapter, adapter_config_from
from comfykernel_core_nodes.diffusion.transformer_layouts import flux_tensors, sd3_slot, sd3_tensors
from comfykernel_core_nodes.diffusion.unet_layouts import original_layout
from comfykernel_core_nodes.diffusion.weight_files import open_weights
from comfykernel_core_nodes.diffusion.weight_patches import AddWeight
from comfykernel_core_nodes.diffusion.weights import Weights, planned_weights
from comfykernel_sdk.families import Made, NetworkPlan

PREFIXES: Final = ("control_model.", "controlnet.", "")
# Marks of a file whose weights are differences to those of the model that it is for.
DIFFERENCE_MARK: Final = "difference"
# File names of the networks whose residuals are averaged (ControlNet 1.1, "shuffle"); their tensors do not tell.
AVERAGED: Final = ("_shuffle", "_shuffle_fp16")
# Channels of a latent with a mask, which inpainting control networks see.
MASKED_CHANNELS: Final = 17
# Control networks of SD3 leave the shift of its latents out.
SD3_HINT_FORMAT: Final = LatentFormat(channels=16, scale=latent_formats.SD3.scale)
# What Stability's networks for SD3.5 do to a hint before it is encoded, by the number in their files.
STREAM_KINDS: Final = {1: "canny", 2: "depth"}

Find = Callable[[Header], ControlNet | None]


def load_control_net(path: Path, base: DiffusionModel | None = None) -> ControlNet:
    """Open a control network or an adapter; weights are read when first used.

    base: the model that the weights are differences to, for files that hold differences. Raises `CheckpointError`.
    """
    network = find_control_net(Header(open_weights(path)), base)
    return replace(network, averaged=True) if path.stem.endswith(AVERAGED) else network


def find_control_net(header: Header, base: DiffusionModel | None = None) -> ControlNet:
    """The control network that a file holds; see `load_control_net`."""
    path = header.file.path
    if CONTROL_LORA_MARK in header:
        lora = control_lora_from(header)
        return ControlNet(lora, UNetCaller(), PixelHint(lora.hint_channels))
    for prefix in PREFIXES:
        below = header.below(prefix)
        for find in FINDERS:
            try:
                found = find(below) if below.shapes else None
            except KeyError as error:
                message = f"lacks a tensor of a control network: {error}."
                raise CheckpointError(path, message, type="unknown_model_family") from error
            if found is not None:
                return _with_base(found, header, base)
    message = f"holds no control network; it is {described(header)}."
    hint = "Expected is a ControlNet or a T2I adapter."
    raise CheckpointError(path, message, hint, type="unknown_model_family")


def _with_base(control: ControlNet, header: Header, base: DiffusionModel | None) -> ControlNet:
    """The network with the base model's weights added where the file holds differences."""
    if DIFFERENCE_MARK not in header.shapes:
        return control
    if base is None:
        message = "holds differences to the weights of a model."
        raise CheckpointError(header.file.path, message, "Load it with DiffControlNetLoader and that model.")
    own, source = control.weights, base.weights.source
    assert isinstance(own, Weights)
    shared = own.source.shapes.keys() & source.shapes.keys()
    return replace(control, weights=own.with_patches({name: AddWeight(source, name) for name in shared}))


def _unet(header: Header) -> ControlNet | None:
    header = original_layout(header)
    if "zero_convs.0.0.weight" not in header or "input_hint_block.0.weight" not in header:
        return None
    config = control_unet_config_from(header.shapes)
    plan = NetworkPlan(header, partial(ControlUNet, config), header.names)
    return _control(plan, UNetCaller(), PixelHint(config.hint_channels), config.kinds)


def _flux(header: Header) -> ControlNet | None:
    tensors: dict[str, str | Made]
    if "controlnet_blocks.0.linear.weight" in header:
        tensors = {_mistoline_name(name): full for name, full in header.names.items()}
    elif "controlnet_x_embedder.weight" in header and "transformer_blocks.0.attn.norm_added_q.weight" in header:
        tensors = flux_tensors(header)
    elif "double_blocks.0.img_attn.norm.key_norm.scale" in header and "controlnet_blocks.0.weight" in header:
        tensors = dict(header.names)
    else:
        return None
    config = control_flux_config_from(_shapes(header, tensors))
    plan = NetworkPlan(header, partial(ControlFlux, config), tensors)
    masked = config.hint_channels == MASKED_CHANNELS
    hint = PixelHint() if config.pixels else LatentHint(latent_formats.FLUX, masked=masked)
    return _control(plan, FluxCaller(), hint, config.kinds)


def _mistoline_name(name: str) -> str:
    """A tensor of MistoLine for Flux by our name: its ways out are a layer and an activation."""
    name = name.replace("single_controlnet_blocks.", "controlnet_single_blocks.")
    name = re.sub(r"^(controlnet_(?:single_)?blocks\.\d+)\.linear\.", r"\1.0.", name)
    return name.replace("input_cond_block.encoder.", "input_hint_block.")


def _sd3(header: Header) -> ControlNet | None:
    if "transformer_blocks.0.attn.add_q_proj.weight" not in header or "pos_embed_input.proj.weight" not in header:
        return None
    tensors = sd3_tensors(header)
    config, channels = control_mmdit_config_from(_shapes(header, tensors))
    plan = NetworkPlan(header, partial(ControlMMDiT, config, channels), tensors)
    return _control(plan, MMDiTCaller(), LatentHint(SD3_HINT_FORMAT, masked=channels == MASKED_CHANNELS))


def _sd35(header: Header) -> ControlNet | None:
    tensors: dict[str, str | Made] = {}
    if "transformer_blocks.0.adaLN_modulation.1.bias" in header:
        for name, full in header.names.items():
            module, _, ending = name.rpartition(".")
            slot = None if re.match(r"transformer_blocks\.", name) else sd3_slot(module)
            tensors[name if slot is None else f"{slot.module}.{ending}"] = full
        kind = round(float(header.tensor("control_type"))) if tensors.pop("control_type", None) else 0
        picture = STREAM_KINDS.get(kind, "")
    elif "transformer_blocks.0.attn.to_q.weight" in header and "pos_embed_input.proj.weight" in header:
        found = sd3_tensors(header)
        tensors = {
            re.sub(r"^joint_blocks(\.\d+)\.x_block", r"transformer_blocks\1", name): found[name] for name in found
        }
        # In the layout of diffusers no tensor tells what the hint is.
        picture = next((word for word in STREAM_KINDS.values() if word in header.file.path.stem.lower()), "")
    else:
        return None
    config = control_stream_config_from(_shapes(header, tensors))
    plan = NetworkPlan(header, partial(ControlStream, config), tensors)
    return _control(plan, StreamCaller(), LatentHint(latent_formats.SD3, picture=picture))


def _adapter(header: Header) -> ControlNet | None:
    header = _flat_adapter(header)
    if "body.0.block1.weight" not in header and "body.0.body.0.block1.weight" not in header:
        return None
    config = adapter_config_from(header.shapes)
    plan = NetworkPlan(header, partial(T2IAdapter, config), header.names)
    multiple = UNSHUFFLE_XL if config.xl else UNSHUFFLE
    return _control(plan, AdapterCaller(), PixelHint(config.hint_channels, multiple=multiple))


def _flat_adapter(header: Header) -> Header:
    """An adapter's tensors by their first names: diffusers counts its blocks by level."""
    if "adapter.body.0.resnets.0.block1.weight" not in header:
        return header.below("adapter.") if "adapter.body.0.block1.weight" in header else header

    def renamed(name: str) -> str:
        name = name.removeprefix("adapter.")
        if match := re.fullmatch(r"body\.(\d+)\.resnets\.(\d+)\.(.+)", name):
            return f"body.{int(match[1]) * 2 + int(match[2])}.{match[3]}"
        if match := re.fullmatch(r"body\.(\d+)\.(.+)", name):
            return f"body.{int(match[1]) * 2}.{match[2]}"
        return name

    return header.renamed({renamed(name): name for name in header.shapes})


FINDERS: Final[tuple[Find, ...]] = (_unet, _flux, _sd3, _sd35, _adapter)


def _shapes(header: Header, tensors: dict[str, str | Made]) -> dict[str, tuple[int, ...]]:
    """Shapes of planned tensors; stacked ones have the sum of their parts along the first axis."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, source in tensors.items():
        parts = [header.file.shapes[full] for full in ((source,) if isinstance(source, str) else source.names)]
        shapes[name] = (sum(part[0] for part in parts), *parts[0][1:]) if parts[0] else ()
    return shapes


def _control(plan: NetworkPlan, caller: ControlCaller, hint: PixelHint | LatentHint, kinds: int = 0) -> ControlNet:
    return ControlNet(planned_weights(plan), caller, hint, kind_count=kinds)
