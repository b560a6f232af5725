"""The configurations of training that old checkpoints came with: what of them a loaded model needs to know."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from comfykernel_core_nodes.diffusion.checkpoints import Checkpoint
from comfykernel_core_nodes.diffusion.errors import CheckpointError
from comfykernel_core_nodes.diffusion.model_sampling import ModelSampling
from comfykernel_sdk.families import SamplingSpec

# Far above any published configuration.
MOST_BYTES: Final = 1_000_000

_VELOCITY: Final = re.compile(r"""^\s*parameterization:\s*["']?v["']?\s*(?:#.*)?$""", re.MULTILINE)
_LAYER: Final = re.compile(r"^\s*layer_idx:\s*(-?\d+)\s*(?:#.*)?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Whether the network predicts v, and at which layer, counted from the end, the text model stops."""

    velocity: bool = False
    last_layer: int | None = None


PUBLISHED_CONFIGS: Final[Mapping[str, TrainingConfig]] = {
    "anything_v3.yaml": TrainingConfig(last_layer=-2),
    "v1-inference.yaml": TrainingConfig(),
    "v1-inference_clip_skip_2.yaml": TrainingConfig(last_layer=-2),
    "v1-inference_clip_skip_2_fp16.yaml": TrainingConfig(last_layer=-2),
    "v1-inference_fp16.yaml": TrainingConfig(),
    "v1-inpainting-inference.yaml": TrainingConfig(),
    "v2-inference-v.yaml": TrainingConfig(velocity=True),
    "v2-inference-v_fp32.yaml": TrainingConfig(velocity=True),
    "v2-inference.yaml": TrainingConfig(),
    "v2-inference_fp32.yaml": TrainingConfig(),
    "v2-inpainting-inference.yaml": TrainingConfig(),
}
"""By the names of their files."""


def read_config(path: Path) -> TrainingConfig:
    """What a file says; raises `CheckpointError` for one that is none."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise CheckpointError(path, "is too large for a configuration.")
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(path, f"cannot be read as a configuration: {error}.") from error
    layer = _LAYER.search(text)
    return TrainingConfig(_VELOCITY.search(text) is not None, None if layer is None else int(layer[1]))


def configured(checkpoint: Checkpoint, config: TrainingConfig) -> Checkpoint:
    """A checkpoint as its configuration says that it was trained."""
    model, clip = checkpoint.model, checkpoint.clip
    if config.velocity:
        model = model.with_sampling(ModelSampling.of(SamplingSpec("velocity")))
    if config.last_layer is not None and clip is not None:
        clip = clip.with_last_layer(config.last_layer)
    return replace(checkpoint, model=model, clip=clip)
