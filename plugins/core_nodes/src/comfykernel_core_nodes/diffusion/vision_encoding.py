"""Image encoders as handles: loading, and pictures to what conditions carry."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, cast

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.clip_vision import (
    ClipVisionConfig,
    ClipVisionModel,
    VisionEncoding,
    clip_vision_config_from,
)
from comfykernel_core_nodes.diffusion.errors import CheckpointError, LatentShapeError
from comfykernel_core_nodes.diffusion.file_kinds import described
from comfykernel_core_nodes.diffusion.memory import ModelMemory, Part, default_memory, first_that_fits
from comfykernel_core_nodes.diffusion.model_header import Header, part_of, transposed
from comfykernel_core_nodes.diffusion.weight_files import open_weights
from comfykernel_core_nodes.diffusion.weights import Weights, planned_weights
from comfykernel_sdk.families import Made, ModelHeader, NetworkPlan

# Mean and deviation of the pictures that the models were trained with, by colour.
CLIP_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
CLIP_DEVIATION: Final = (0.26862954, 0.26130258, 0.27577711)
SIGLIP_MEAN: Final = (0.5, 0.5, 0.5)
SIGLIP_DEVIATION: Final = (0.5, 0.5, 0.5)

MARK: Final = "vision_model.embeddings.patch_embedding.weight"
OPEN_CLIP_MARK: Final = "visual.conv1.weight"

_OUTER_NAMES: Final = {
    "class_embedding": "embeddings.class_embedding",
    "conv1.weight": "embeddings.patch_embedding.weight",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_pre.weight": "pre_layrnorm.weight",
    "ln_pre.bias": "pre_layrnorm.bias",
    "ln_post.weight": "post_layernorm.weight",
    "ln_post.bias": "post_layernorm.bias",
}
_LAYER_NAMES: Final = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}
_LAYER: Final = re.compile(r"transformer\.resblocks\.(\d+)\.(.+?)[._](weight|bias)")


@dataclass(frozen=True, eq=False)
class VisionEncoder:
    """An immutable handle of an image encoder."""

    weights: Weights[nn.Module]
    config: ClipVisionConfig

    def pixels(self, images: Tensor, *, crop: bool = True) -> Tensor:
        """What the encoder sees of images [batch, height, width, 3 or more] in 0..1: [batch, 3, side, side].

        crop: the middle of the picture in its own proportions; otherwise the whole, squeezed. Raises
        `LatentShapeError`.
        """
        if images.ndim != 4 or images.shape[-1] < 3:
            raise LatentShapeError(f"Expected images [batch, height, width, 3], got {list(images.shape)}.")
        side = self.config.image
        maps = images[..., :3].movedim(-1, 1).float()
        if maps.shape[-2:] != (side, side):
            maps = _fitted(maps, side, crop=crop)
        siglip = self.config.siglip
        mean = maps.new_tensor(SIGLIP_MEAN if siglip else CLIP_MEAN).view(3, 1, 1)
        deviation = maps.new_tensor(SIGLIP_DEVIATION if siglip else CLIP_DEVIATION).view(3, 1, 1)
        # As from an 8-bit picture, which the models were trained with.
        return ((maps * 255.0).clamp(0, 255).round() / 255.0 - mean) / deviation

    def encode(self, images: Tensor, *, crop: bool = True, memory: ModelMemory | None = None) -> VisionEncoding:
        """Encode images; tensors are float32 on the CPU. See `pixels`.

        Where memory is out, images are encoded one by one. Raises `LatentShapeError` and `OutOfMemory`.
        """
        memory = memory or default_memory()
        network = memory.module(self.weights, Part.VISION)
        weight = next(network.parameters())

        def encoded(size: int) -> VisionEncoding:
            with torch.inference_mode():
                parts = [self.pixels(part, crop=crop) for part in images.split(size)]
                return _joined([network(part.to(weight.device, weight.dtype)) for part in parts])

        count = max(1, images.shape[0])
        ways = [("it", lambda: encoded(count)), ("images one by one" if count > 1 else "again", lambda: encoded(1))]
        return first_that_fits(memory, "encoding images", ways)


def _joined(encodings: Sequence[VisionEncoding]) -> VisionEncoding:
    """The encodings of parts of a batch as one, float32 on the CPU."""
    earlier = zip(*(encoding.earlier_hidden_states for encoding in encodings), strict=True)
    return VisionEncoding(
        _kept([encoding.last_hidden_state for encoding in encodings]),
        _kept([encoding.penultimate_hidden_states for encoding in encodings]),
        _kept([encoding.image_embeds for encoding in encodings]),
        tuple(_kept(states) for states in earlier),
    )


def _kept(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat([part.float().cpu() for part in parts]).clone()


def _fitted(maps: Tensor, side: int, *, crop: bool) -> Tensor:
    height, width = maps.shape[-2:]
    scale = side / min(height, width)
    size = (round(scale * height), round(scale * width)) if crop else (side, side)
    maps = functional.interpolate(maps, size=size, mode="bicubic", antialias=True)
    top, left = (maps.shape[-2] - side) // 2, (maps.shape[-1] - side) // 2
    return maps[..., top : top + side, left : left + side]


def load_vision_encoder(path: Path) -> VisionEncoder:
    """Open an image encoder; weights are read when first used. Raises `CheckpointError`."""
    header = Header(open_weights(path))
    plan = vision_plan(header)
    if plan is None:
        message = f"holds no image encoder; it is {described(header)}."
        hint = "Expected is a CLIP vision or SigLIP model."
        raise CheckpointError(path, message, hint, type="unknown_model_family")
    return vision_encoder(plan)


def vision_encoder(plan: NetworkPlan) -> VisionEncoder:
    """The handle of a planned image encoder."""
    config = cast("partial[ClipVisionModel]", plan.build).args[0]
    return VisionEncoder(planned_weights(plan), config)


def vision_plan(header: ModelHeader) -> NetworkPlan | None:
    """The plan of an image encoder in the layout of Hugging Face or of open_clip; None when there is none."""
    tensors: dict[str, str | Made] = {}
    if MARK in header.shapes:
        tensors = {
            name: full
            for name, full in header.names.items()
            if name.startswith(("vision_model.", "visual_projection."))
            and not name.endswith("position_ids")
            and not name.startswith("vision_model.head.")
        }
    elif OPEN_CLIP_MARK in header.shapes:
        tensors = dict(_open_clip_tensors(header.below("visual.")))
    if not tensors:
        return None
    below = {full: name for name, full in header.names.items()}
    shapes = {
        name: header.shapes[below[source if isinstance(source, str) else source.names[0]]]
        for name, source in tensors.items()
    }
    if isinstance(tensors.get("visual_projection.weight"), Made):
        shapes["visual_projection.weight"] = shapes["visual_projection.weight"][::-1]
    return NetworkPlan(header, partial(ClipVisionModel, clip_vision_config_from(shapes)), tensors)


def _open_clip_tensors(header: ModelHeader) -> Iterator[tuple[str, str | Made]]:
    for name, full in header.names.items():
        if name in _OUTER_NAMES:
            yield f"vision_model.{_OUTER_NAMES[name]}", full
        elif name == "proj":
            yield "visual_projection.weight", transposed(full)
        elif match := _LAYER.fullmatch(name):
            layer = f"vision_model.encoder.layers.{match[1]}"
            if match[2] == "attn.in_proj":
                for index, part in enumerate("qkv"):
                    yield f"{layer}.self_attn.{part}_proj.{match[3]}", part_of(full, index, 3)
            elif match[2] in _LAYER_NAMES:
                yield f"{layer}.{_LAYER_NAMES[match[2]]}.{match[3]}", full
