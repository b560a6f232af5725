"""How each kind of control network is called, beside the main network of its family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.control import ControlCall, Residuals
from comfykernel_core_nodes.diffusion.controlnet_unet import ControlUNet
from comfykernel_core_nodes.diffusion.errors import LatentShapeError
from comfykernel_core_nodes.diffusion.mmdit import MMDiT
from comfykernel_core_nodes.diffusion.t2i_adapter import T2IAdapter
from comfykernel_core_nodes.diffusion.unet import UNet


class ControlCaller(Protocol):
    """Runs a control network for one call of the main network."""

    def residuals(self, network: nn.Module, hint: Tensor, call: ControlCall, kinds: Sequence[int]) -> Residuals:
        """What it adds, at full strength; raises `LatentShapeError` when it is for another family."""


def _given(call: ControlCall, name: str, weight: Tensor) -> Tensor:
    """An input of the main network, in the control network's precision."""
    value = call.inputs.get(name)
    if not isinstance(value, Tensor):
        raise LatentShapeError(
            f"The control network needs the input {name!r}, which this model does not have.",
            "Choose a control network for the model's family.",
        )
    return value.to(weight.device, weight.dtype)


def _seen(call: ControlCall, weight: Tensor) -> Tensor:
    return call.model.network_input(call.x, call.sigma).to(weight.device, weight.dtype)


@dataclass(frozen=True, slots=True)
class UNetCaller:
    """For UNets."""

    def residuals(self, network: nn.Module, hint: Tensor, call: ControlCall, kinds: Sequence[int]) -> Residuals:
        assert isinstance(network, ControlUNet)
        weight, width = next(network.parameters()), network.config.context_dim
        context = _given(call, "context", weight)
        if width and context.shape[-1] != width:
            raise LatentShapeError(
                f"The control network is for texts of width {width}, the model's have {context.shape[-1]}.",
                "Choose a control network for the model's family.",
            )
        seen, channels = _seen(call, weight), network.config.in_channels
        if seen.shape[1] != channels:
            raise LatentShapeError(
                f"The control network is for latents of {channels} channels, the model's have {seen.shape[1]}.",
                "Choose a control network for the model's family.",
            )
        y = _given(call, "y", weight) if hasattr(network, "label_emb") else None
        residuals: Residuals = network(seen, call.model.timesteps(call.sigma), context, hint, y=y, kinds=kinds)
        return residuals


@dataclass(frozen=True, slots=True)
class AdapterCaller:
    """For T2I adapters, which see the hint only."""

    def residuals(self, network: nn.Module, hint: Tensor, call: ControlCall, kinds: Sequence[int]) -> Residuals:
        assert isinstance(network, T2IAdapter)
        main = call.model.network
        if not isinstance(main, UNet) or (network.config.xl and not hasattr(main, "label_emb")):
            wanted = "SDXL" if network.config.xl else "UNets such as SD1"
            raise LatentShapeError(
                f"The adapter is for {wanted}, the model is another one.", "Choose an adapter for the model's family."
            )
        residuals: Residuals = network.residuals(network(hint))
        return residuals


def _main_transformer(call: ControlCall) -> MMDiT:
    if not isinstance(call.model.network, MMDiT):
        raise LatentShapeError("The control network is for SD3.", "Choose one for the model's family.")
    return call.model.network


@dataclass(frozen=True, slots=True)
class MMDiTCaller:
    """For SD3."""

    def residuals(self, network: nn.Module, hint: Tensor, call: ControlCall, kinds: Sequence[int]) -> Residuals:
        weight = next(network.parameters())
        residuals: Residuals = network(
            _seen(call, weight),
            call.model.timesteps(call.sigma),
            _given(call, "context", weight),
            _given(call, "y", weight),
            hint,
            _main_transformer(call).config.blocks,
        )
        return residuals


@dataclass(frozen=True, slots=True)
class StreamCaller:
    """For Stability's networks for SD3.5 large, which borrow layers of the main network."""

    def residuals(self, network: nn.Module, hint: Tensor, call: ControlCall, kinds: Sequence[int]) -> Residuals:
        weight = next(network.parameters())
        main = _main_transformer(call)
        timesteps = call.model.timesteps(call.sigma)
        residuals: Residuals = network(_seen(call, weight), timesteps, _given(call, "y", weight), hint, main)
        return residuals


@dataclass(frozen=True, slots=True)
class FluxCaller:
    """For Flux.1."""

    def residuals(self, network: nn.Module, hint: Tensor, call: ControlCall, kinds: Sequence[int]) -> Residuals:
        weight = next(network.parameters())
        guidance = call.inputs.get("guidance")
        residuals: Residuals = network(
            _seen(call, weight),
            call.model.timesteps(call.sigma),
            _given(call, "context", weight),
            _given(call, "y", weight),
            hint,
            guidance=guidance.to(weight.device) if isinstance(guidance, torch.Tensor) else None,
            kinds=kinds,
        )
        return residuals
