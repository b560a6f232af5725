"""Upscaling networks as handles, and pictures through them in tiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.compact_upscaler import CompactUpscaler, compact_config_from
from comfykernel_core_nodes.diffusion.errors import CheckpointError, LatentShapeError
from comfykernel_core_nodes.diffusion.esrgan import Esrgan, esrgan_config_from, original_names
from comfykernel_core_nodes.diffusion.file_kinds import described
from comfykernel_core_nodes.diffusion.memory import ModelMemory, Part, default_memory
from comfykernel_core_nodes.diffusion.model_header import Header
from comfykernel_core_nodes.diffusion.tiling import in_tiles
from comfykernel_core_nodes.diffusion.weight_files import open_weights
from comfykernel_core_nodes.diffusion.weights import Weights, planned_weights
from comfykernel_sdk.families import NetworkPlan

# Where files keep the tensors.
PREFIXES: Final = ("params_ema.", "params.", "module.", "")
# Pixels of a tile's side, and of its overlap with the next.
TILE: Final = 512
OVERLAP: Final = 32


@dataclass(frozen=True, eq=False)
class Upscaler:
    """An immutable handle of an upscaling network; `scale`: pixels of the result per pixel, along one side."""

    weights: Weights[nn.Module]
    scale: int
    channels: int = 3

    def upscale(
        self,
        images: Tensor,
        *,
        tile: int = TILE,
        overlap: int = OVERLAP,
        check: Callable[[], None] | None = None,
        memory: ModelMemory | None = None,
    ) -> Tensor:
        """Images [batch, height * scale, width * scale, channels] in 0..1, float32 on the CPU.

        images: [batch, height, width, channels or more]. check: called before each tile, may raise. Raises
        `LatentShapeError`.
        """
        if images.ndim != 4 or images.shape[-1] < self.channels:
            raise LatentShapeError(
                f"Expected images [batch, height, width, {self.channels}], got {list(images.shape)}."
            )
        network = (memory or default_memory()).module(self.weights, Part.UPSCALER)
        weight = next(network.parameters())

        def run(part: Tensor) -> Tensor:
            if check is not None:
                check()
            out: Tensor = network(part.to(weight.device, weight.dtype))
            return out.float().cpu()

        maps = images[..., : self.channels].movedim(-1, 1)
        with torch.inference_mode():
            large = in_tiles(maps, run, tile=(tile, tile), overlap=overlap, scale=self.scale, channels=self.channels)
        return large.movedim(1, -1).clamp(0.0, 1.0).clone()


def load_upscaler(path: Path) -> Upscaler:
    """Open an upscaling network: ESRGAN and Real-ESRGAN in both layouts, and its compact form.

    Weights are read when first used. Raises `CheckpointError`.
    """
    return find_upscaler(Header(open_weights(path)))


def find_upscaler(header: Header) -> Upscaler:
    """The upscaling network that a file holds; see `load_upscaler`."""
    path = header.file.path
    for prefix in PREFIXES:
        below = header.below(prefix)
        try:
            found = _esrgan(below) or _compact(below)
        except (KeyError, IndexError) as error:
            message = f"lacks a tensor of an upscaling model: {error}."
            raise CheckpointError(path, message, type="unknown_model_family") from error
        if found is not None:
            return found
    message = f"holds no upscaling model of a known kind; it is {described(header)}."
    hint = "Known are ESRGAN, Real-ESRGAN and its compact form."
    raise CheckpointError(path, message, hint, type="unknown_model_family")


def _esrgan(header: Header) -> Upscaler | None:
    if "model.1.sub.0.RDB1.conv1.0.weight" in header:
        header = header.renamed(original_names(header.names))
    if "body.0.rdb1.conv1.weight" not in header:
        return None
    config = esrgan_config_from(header.shapes)
    plan = NetworkPlan(header, partial(Esrgan, config), header.names)
    return Upscaler(planned_weights(plan), config.scale, config.channels)


def _compact(header: Header) -> Upscaler | None:
    first, second = header.shapes.get("body.0.weight", ()), header.shapes.get("body.1.weight", ())
    if len(first) != 4 or second != first[:1]:
        return None
    config = compact_config_from(header.shapes)
    plan = NetworkPlan(header, partial(CompactUpscaler, config), header.names)
    return Upscaler(planned_weights(plan), config.scale, config.channels)
