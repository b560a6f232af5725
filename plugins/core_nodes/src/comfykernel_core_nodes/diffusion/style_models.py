"""Style models: what an image encoder saw, as tokens beside those of a text.

Flux Redux (Black Forest Labs 2024), and the style adapter of T2I (Mou et al. 2023, arXiv:2302.08453).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.clip_vision import VisionEncoding
from comfykernel_core_nodes.diffusion.errors import CheckpointError, LatentShapeError
from comfykernel_core_nodes.diffusion.file_kinds import described
from comfykernel_core_nodes.diffusion.memory import ModelMemory, Part, default_memory
from comfykernel_core_nodes.diffusion.model_header import Header
from comfykernel_core_nodes.diffusion.residual_attention import ResidualAttention
from comfykernel_core_nodes.diffusion.weight_files import open_weights
from comfykernel_core_nodes.diffusion.weights import Weights, planned_weights
from comfykernel_sdk.families import NetworkPlan


class Redux(nn.Module):
    """Two linear layers from an image encoder's width to a text's."""

    def __init__(self, width: int, hidden: int, out: int) -> None:
        super().__init__()
        self.redux_up = nn.Linear(width, hidden)
        self.redux_down = nn.Linear(hidden, out)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.redux_down(functional.silu(self.redux_up(tokens)))
        return out


class StyleAdapter(nn.Module):
    """A few tokens that gather the style of all others."""

    def __init__(self, width: int, out: int, tokens: int, blocks: int) -> None:
        super().__init__()
        self.transformer_layes = nn.Sequential(*(ResidualAttention(width) for _ in range(blocks)))
        self.style_embedding = nn.Parameter(torch.empty(1, tokens, width))
        self.ln_pre = nn.LayerNorm(width)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.empty(width, out))

    def forward(self, tokens: Tensor) -> Tensor:
        style = self.style_embedding.expand(len(tokens), -1, -1)
        mixed = self.transformer_layes(self.ln_pre(torch.cat([tokens, style], dim=1)))
        out: Tensor = self.ln_post(mixed[:, -style.shape[1] :]) @ self.proj
        return out


@dataclass(frozen=True, eq=False)
class StyleModel:
    """An immutable handle of a style model; `width` is the one of the image encoder that it is for."""

    weights: Weights[nn.Module]
    width: int

    def tokens(self, seen: VisionEncoding, memory: ModelMemory | None = None) -> Tensor:
        """Tokens [1, all tokens of all images, channels] to add to a condition's, float32 on the CPU.

        Raises `LatentShapeError` for the output of another image encoder.
        """
        hidden = seen.last_hidden_state
        if hidden.shape[-1] != self.width:
            raise LatentShapeError(
                f"The style model is for images of width {self.width}, the image encoder gives {hidden.shape[-1]}.",
                "Choose the CLIP vision model that belongs to it.",
            )
        network = (memory or default_memory()).module(self.weights, Part.TEXT)
        weight = next(network.parameters())
        with torch.inference_mode():
            tokens: Tensor = network(hidden.to(weight.device, weight.dtype)).float().cpu()
        return tokens.flatten(0, 1)[None].clone()


def load_style_model(path: Path) -> StyleModel:
    """Open a style model; weights are read when first used. Raises `CheckpointError`."""
    header = Header(open_weights(path))
    shapes = header.shapes
    if "redux_up.weight" in shapes and "redux_down.weight" in shapes:
        hidden, width = shapes["redux_up.weight"]
        plan = NetworkPlan(header, partial(Redux, width, hidden, shapes["redux_down.weight"][0]), header.names)
        return StyleModel(planned_weights(plan), width)
    if "style_embedding" in shapes and "proj" in shapes:
        _, tokens, width = shapes["style_embedding"]
        build = partial(StyleAdapter, width, shapes["proj"][1], tokens, _blocks(shapes))
        return StyleModel(planned_weights(NetworkPlan(header, build, header.names)), width)
    message = f"holds no style model; it is {described(header)}."
    raise CheckpointError(path, message, "Expected is Flux Redux or a style adapter.", type="unknown_model_family")


def _blocks(shapes: Mapping[str, tuple[int, ...]]) -> int:
    count = 0
    while f"transformer_layes.{count}.ln_1.weight" in shapes:
        count += 1
    return count
