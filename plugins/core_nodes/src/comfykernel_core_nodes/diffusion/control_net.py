"""Control networks and adapters as handles, and what becomes of their hints."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.control import ControlCall, Residuals
from comfykernel_core_nodes.diffusion.control_lora import ControlLora
from comfykernel_core_nodes.diffusion.errors import LatentShapeError
from comfykernel_core_nodes.diffusion.image_fitting import repeated, resized
from comfykernel_core_nodes.diffusion.latent_formats import LatentFormat
from comfykernel_core_nodes.diffusion.memory import Part
from comfykernel_core_nodes.diffusion.weights import Weights

if TYPE_CHECKING:
    from comfykernel_core_nodes.diffusion.control_calls import ControlCaller
    from comfykernel_core_nodes.diffusion.diffusion_model import RunnableModel
    from comfykernel_core_nodes.diffusion.image_codec import ImageCodec

# Pixels that a latent unit is wide.
LATENT_PIXELS = 8

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PixelHint:
    """A hint that the network sees as pixels, 0..1, with sides rounded up to a multiple."""

    channels: int = 3
    multiple: int = 1

    def prepared(self, applied: AppliedControlNet, height: int, width: int) -> Tensor:
        """The hint [batch, channels, height, width] for a latent's size."""
        sides = [-(-side * LATENT_PIXELS // self.multiple) * self.multiple for side in (height, width)]
        pixels = applied.image.movedim(-1, 1).float()
        pixels = resized(pixels, sides[0], sides[1], "nearest-exact", crop=True)
        return pixels.mean(dim=1, keepdim=True) if self.channels == 1 else pixels[:, : self.channels]


@dataclass(frozen=True, slots=True)
class LatentHint:
    """A hint that the network sees as a latent.

    `masked`: a mask is one more channel, and what it covers is hidden from the network. `picture`: what is done to the
    pixels first, `canny` or `depth`.
    """

    latent_format: LatentFormat
    masked: bool = False
    picture: str = ""

    def prepared(self, applied: AppliedControlNet, height: int, width: int) -> Tensor:
        """The hint [batch, channels, height, width] for a latent's size; raises `LatentShapeError` without a VAE."""
        if applied.vae is None:
            raise LatentShapeError("This control network sees its hint as a latent.", "Give a VAE with its hint.")
        pixels = applied.image.movedim(-1, 1).float()
        if self.masked:
            if applied.mask is None:
                raise LatentShapeError("This control network is for inpainting.", "Give a mask with its hint.")
            keep = 1.0 - applied.mask.reshape(-1, 1, *applied.mask.shape[-2:])
            pixels = pixels * resized(keep, pixels.shape[-2], pixels.shape[-1], "bilinear").round()
        pixels = resized(pixels, height * LATENT_PIXELS, width * LATENT_PIXELS, "nearest-exact", crop=True)
        latent = self.latent_format.to_model(applied.vae.encode(self._picture(pixels).movedim(1, -1)))
        if not self.masked:
            return latent
        keep = resized(keep, latent.shape[-2], latent.shape[-1], "nearest-exact", crop=True)
        return torch.cat([latent, repeated(keep, len(latent))], dim=1)

    def _picture(self, pixels: Tensor) -> Tensor:
        if self.picture == "canny":
            return pixels * 255 * 0.5 + 0.5
        return 1.0 - pixels if self.picture == "depth" else pixels


@dataclass(frozen=True, eq=False)
class ControlNet:
    """An immutable handle of a control network or an adapter.

    `weights` are the network's own, or changes to those of the model that it acts on.
    `kinds` are what the hint of a union network is, by number; `kind_count` how many it knows (0: no union network).
    `averaged`: each residual is its mean over the picture, for networks that carry over a mood but no places.
    """

    weights: Weights[nn.Module] | ControlLora
    caller: ControlCaller
    hint: PixelHint | LatentHint
    kinds: tuple[int, ...] = ()
    kind_count: int = 0
    averaged: bool = False

    def with_kinds(self, *kinds: int) -> ControlNet:
        """For a hint of other kinds; without any, of no particular kind."""
        return replace(self, kinds=kinds)

    def weights_for(self, model: RunnableModel) -> Weights[nn.Module]:
        """The weights of the whole network. Raises `LatentShapeError` when the model's do not go with its changes."""
        return self.weights.over(model) if isinstance(self.weights, ControlLora) else self.weights

    def applied(
        self,
        image: Tensor,
        *,
        strength: float = 1.0,
        start_percent: float = 0.0,
        end_percent: float = 1.0,
        vae: ImageCodec | None = None,
        mask: Tensor | None = None,
        both_sides: bool = False,
    ) -> AppliedControlNet:
        """The network with a hint, for conditions to carry; one value for all of a run, so that they share batches.

        image: [batch, height, width, 3], 0..1. mask: [batch, height, width], 1 where an inpainting network fills.
        """
        if end_percent < start_percent:
            logger.warning("%s never acts: its range ends at %g, before its start.", self.weights.label, end_percent)
        return AppliedControlNet(self, image, strength, start_percent, end_percent, vae, mask, both_sides)


@dataclass(frozen=True, eq=False)
class AppliedControlNet:
    """A control network with its hint; see `ControlNet.applied`."""

    network: ControlNet
    image: Tensor
    strength: float
    start_percent: float
    end_percent: float
    vae: ImageCodec | None
    mask: Tensor | None
    both_sides: bool
    # The hint for the size of the last call, and what a network made of it that depends on nothing else.
    _prepared: dict[tuple[object, ...], Any] = field(default_factory=dict, repr=False)

    @property
    def label(self) -> str:
        return str(self.network.weights.label)

    def residuals(self, call: ControlCall) -> Residuals | None:
        """What the network adds in one call; None outside its range.

        Raises `LatentShapeError`, which names the network's file, when it is for models of another family.
        """
        levels = call.model.sampling.levels
        sigma = float(call.sigma[0])
        if sigma > levels.percent_to_sigma(self.start_percent) or sigma < levels.percent_to_sigma(self.end_percent):
            return None
        try:
            made = self._made(call)
        except LatentShapeError as error:
            raise LatentShapeError(f"{self.network.weights.label}: {error.message}", error.hint) from error
        return {name: [self._scaled(each) for each in values] for name, values in made.items()}

    def _made(self, call: ControlCall) -> Residuals:
        module = call.memory.module(self.network.weights_for(call.model), Part.CONTROL)
        weight = next(module.parameters())
        height, width = call.x.shape[-2:]
        key = (height, width, weight.device, weight.dtype)
        if key not in self._prepared:
            self._prepared.clear()
            self._prepared[key] = self.network.hint.prepared(self, height, width).to(weight.device, weight.dtype)
        hint = for_conditions(self._prepared[key], len(call.x), call.conditions)
        return self.network.caller.residuals(module, hint, call, self.network.kinds)

    def _scaled(self, residual: Tensor | None) -> Tensor | None:
        if residual is None:
            return None
        if self.network.averaged:
            residual = residual.mean(dim=(2, 3), keepdim=True).expand_as(residual)
        return residual * self.strength


def for_conditions(hint: Tensor, rows: int, conditions: int) -> Tensor:
    """Rows of a hint for a batch in which each condition has the same rows; a single row stands for all."""
    if len(hint) == 1:
        return hint
    return repeated(hint, rows // conditions).repeat(conditions, *[1] * (hint.ndim - 1))
