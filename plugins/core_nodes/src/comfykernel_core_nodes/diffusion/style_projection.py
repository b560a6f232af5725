"""USO (Wu et al. 2025, arXiv:2508.18966): the style of a picture as tokens before a Flux model's text.

Three layers of a SigLIP encoder are each mixed to a few tokens and projected to the transformer's width. Names equal
the keys of the published file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.clip_vision import EARLIER_LAYERS, VisionEncoding
from comfykernel_core_nodes.diffusion.diffusion_model import DiffusionModel
from comfykernel_core_nodes.diffusion.errors import CheckpointError, LatentShapeError
from comfykernel_core_nodes.diffusion.file_kinds import described
from comfykernel_core_nodes.diffusion.memory import ModelMemory, Part, default_memory
from comfykernel_core_nodes.diffusion.model_header import Header
from comfykernel_core_nodes.diffusion.weight_files import open_weights
from comfykernel_core_nodes.diffusion.weights import Weights, planned_weights
from comfykernel_sdk.families import Condition, NetworkInput, NetworkPlan, PerRow, ReadCondition, Run

PREFIX: Final = "feature_embedder."
# The layers in the order of their tokens, the last one but one first.
LEVELS: Final = ("high", "mid", "low")
MARK: Final = "mid_layer_norm.bias"
# What tells the control networks of DiffSynth for Qwen-Image, which are loaded in the same place.
QWEN_MARK: Final = "controlnet_blocks.0.y_rms.weight"
FAMILY: Final = "flux"


class StyleProjection(nn.Module):
    """Tokens of three layers of an image encoder to tokens of a transformer."""

    def __init__(self, seen: int, tokens: int, width: int, out: int) -> None:
        super().__init__()
        for level in LEVELS:
            setattr(self, f"{level}_embedding_linear", nn.Sequential(nn.Linear(seen, tokens), nn.SiLU()))
            setattr(self, f"{level}_layer_norm", nn.LayerNorm(width))
            setattr(self, f"{level}_projection", nn.Linear(width, out))

    def forward(self, layers: Sequence[Tensor]) -> Tensor:
        """Tokens [batch, 3 * tokens, out]; layers: [batch, seen, width] each, in the order of `LEVELS`."""
        parts: list[Tensor] = []
        for level, hidden in zip(LEVELS, layers, strict=True):
            mix, norm, project = (
                getattr(self, f"{level}_{part}") for part in ("embedding_linear", "layer_norm", "projection")
            )
            parts.append(project(norm(mix(hidden.transpose(1, 2)).transpose(1, 2))))
        return torch.cat(parts, dim=1)


@dataclass(frozen=True, eq=False)
class StyleProjector:
    """An immutable handle; `shape`: tokens and width of the image encoder, width of the transformer."""

    weights: Weights[nn.Module]
    shape: tuple[int, int, int]

    def applied(self, model: DiffusionModel, seen: VisionEncoding, memory: ModelMemory | None = None) -> DiffusionModel:
        """A model that follows the style of pictures; raises `LatentShapeError` for what does not belong together."""
        tokens = self._tokens(seen, memory)
        if model.family != FAMILY:
            raise LatentShapeError(
                f"{self.weights.label} is for Flux.1, the model is of the family {model.family or 'of another pack'}.",
                "Use it with a Flux model.",
            )
        return replace(model, read_condition=partial(_read, model.read_condition, tokens))

    def _tokens(self, seen: VisionEncoding, memory: ModelMemory | None) -> Tensor:
        layers = (seen.penultimate_hidden_states, *reversed(seen.earlier_hidden_states))
        wanted = self.shape[:2]
        if len(layers) != len(LEVELS) or any(tuple(each.shape[1:]) != wanted for each in layers):
            found = list(seen.last_hidden_state.shape[1:])
            raise LatentShapeError(
                f"{self.weights.label} is for a SigLIP encoder of at least {-EARLIER_LAYERS[0]} layers, whose tokens "
                f"are {list(wanted)}; those of this encoder are {found}.",
                "Load SigLIP so400m of 384 pixels with CLIPVisionLoader.",
            )
        network = (memory or default_memory()).module(self.weights, Part.TEXT)
        weight = next(network.parameters())
        with torch.inference_mode():
            tokens: Tensor = network([each.to(weight.device, weight.dtype) for each in layers]).float().cpu()
        return tokens.flatten(0, 1)[None].clone()


def _read(read: ReadCondition, tokens: Tensor, condition: Condition, run: Run) -> Mapping[str, NetworkInput]:
    inputs = read(condition, run)
    style = inputs.get("style")
    before = [style.value] if isinstance(style, PerRow) else []
    return {**inputs, "style": PerRow(torch.cat([tokens, *before], dim=1))}


def load_style_projector(path: Path) -> StyleProjector:
    """Open a file of USO's projector; weights are read when first used. Raises `CheckpointError`."""
    whole = Header(open_weights(path))
    header = whole.below(PREFIX) if PREFIX + MARK in whole else whole
    if MARK in header:
        tokens, seen = header.shapes["high_embedding_linear.0.weight"]
        out, width = header.shapes["high_projection.weight"]
        build = partial(StyleProjection, seen, tokens, width, out)
        return StyleProjector(planned_weights(NetworkPlan(header, build, header.names)), (seen, width, out))
    kind = "a control network for Qwen-Image, whose model is not known here" if QWEN_MARK in whole else described(whole)
    message = f"holds no patch for a model of a known kind; it is {kind}."
    raise CheckpointError(path, message, "Known is the projector of USO for Flux.1.", type="unknown_model_family")
