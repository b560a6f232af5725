"""GLIGEN (Li et al. 2023, arXiv:2301.07093): texts at boxes, by gated attention inside a UNet's transformers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.attention import CrossAttention, FeedForward
from comfykernel_core_nodes.diffusion.errors import CheckpointError, ConditionShapeError
from comfykernel_core_nodes.diffusion.file_kinds import described
from comfykernel_core_nodes.diffusion.hook_points import Hooks, Point, Site
from comfykernel_core_nodes.diffusion.memory import ModelMemory, Part
from comfykernel_core_nodes.diffusion.model_header import Header
from comfykernel_core_nodes.diffusion.weight_files import open_weights
from comfykernel_core_nodes.diffusion.weights import Weights, planned_weights
from comfykernel_sdk.families import NetworkPlan

# Boxes that a model was trained with; places without one hold a learned vector.
BOXES: Final = 30
# Frequencies of a box's coordinates, and the base of their powers.
FREQUENCIES: Final = 8
FREQUENCY_BASE: Final = 100.0
POSITION_CHANNELS: Final = FREQUENCIES * 2 * 4
HIDDEN: Final = 512
# Width of the texts of SD1, whose attention has 8 heads; later UNets have heads of 64 channels.
SD1_TEXT_WIDTH: Final = 768

_FUSER = re.compile(r"(input_blocks|middle_block|output_blocks)\.(\d+)\..*?fuser\.(.+)")


class Box(NamedTuple):
    """A text and its place, in latent units."""

    pooled: Tensor
    """[1, width]: the text's pooled vector, not projected"""
    height: float
    width: float
    y: float
    x: float


class PositionNet(nn.Module):
    """Texts and boxes to tokens."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.null_positive_feature = nn.Parameter(torch.empty(width))
        self.null_position_feature = nn.Parameter(torch.empty(POSITION_CHANNELS))
        self.linears = nn.Sequential(
            nn.Linear(width + POSITION_CHANNELS, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN), nn.SiLU(),
            nn.Linear(HIDDEN, out),
        )  # fmt: skip

    def forward(self, boxes: Tensor, present: Tensor, texts: Tensor) -> Tensor:
        """Tokens [1, BOXES, out]; boxes: [1, BOXES, 4] as left, top, right, bottom in 0..1; present: [1, BOXES]."""
        there = present[..., None]
        places = there * _frequencies(boxes) + (1 - there) * self.null_position_feature
        words = there * texts + (1 - there) * self.null_positive_feature
        out: Tensor = self.linears(torch.cat([words, places], dim=-1))
        return out


def _frequencies(boxes: Tensor) -> Tensor:
    steps = torch.arange(FREQUENCIES, device=boxes.device) / FREQUENCIES
    parts = [function(frequency * boxes) for frequency in FREQUENCY_BASE**steps for function in (torch.sin, torch.cos)]
    return torch.cat(parts, dim=-1).to(boxes.dtype)


class GatedAttention(nn.Module):
    """Attention of a transformer's tokens to those of boxes, through a gate that training opened."""

    def __init__(self, width: int, box_width: int, heads: int) -> None:
        super().__init__()
        self.linear = nn.Linear(box_width, width)
        self.attn = CrossAttention(width, width, heads)
        self.ff = FeedForward(width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.alpha_attn = nn.Parameter(torch.empty(()))
        self.alpha_dense = nn.Parameter(torch.empty(()))

    def forward(self, tokens: Tensor, boxes: Tensor) -> Tensor:
        both = self.norm1(torch.cat([tokens, self.linear(boxes).expand(len(tokens), -1, -1)], dim=1))
        tokens = tokens + torch.tanh(self.alpha_attn) * self.attn(both, both)[:, : tokens.shape[1]]
        out: Tensor = tokens + torch.tanh(self.alpha_dense) * self.ff(self.norm2(tokens))
        return out


class Gligen(nn.Module):
    """The gates of a UNet's transformers by their place, and what makes tokens of boxes.

    `gates` maps `input_4` (the kind of block and its number) to (width, box width).
    """

    def __init__(self, text_width: int, out: int, gates: Mapping[str, tuple[int, int]]) -> None:
        super().__init__()
        self.position_net = PositionNet(text_width, out)
        self.gates = nn.ModuleDict(
            {
                place: GatedAttention(width, box_width, 8 if box_width == SD1_TEXT_WIDTH else max(1, width // 64))
                for place, (width, box_width) in gates.items()
            }
        )


@dataclass(frozen=True, eq=False)
class GligenModel:
    """An immutable handle."""

    weights: Weights[nn.Module]

    def placed(self, *boxes: Box) -> PlacedTexts:
        """Texts at boxes, for conditions to carry."""
        return PlacedTexts(self, boxes)


@dataclass(frozen=True, eq=False)
class PlacedTexts:
    """A model with its boxes; the ones beyond `BOXES` have no effect."""

    model: GligenModel
    boxes: tuple[Box, ...]
    both_sides: bool = True

    def and_box(self, box: Box) -> PlacedTexts:
        """With one more box."""
        return PlacedTexts(self.model, (*self.boxes, box))

    def hooks(self, latent_shape: Sequence[int], memory: ModelMemory) -> Hooks:
        """The functions that bring the boxes into the UNet, for latents [batch, channel, height, width]."""
        network = memory.module(self.model.weights, Part.CONTROL)
        assert isinstance(network, Gligen)
        tokens = self._tokens(network, latent_shape[-2], latent_shape[-1])

        def add(values: Tensor, site: Site) -> Tensor:
            name = f"{site.block}_{site.number}"
            if name not in network.gates:
                return values
            gate = network.gates[name]
            assert isinstance(gate, GatedAttention)
            width = gate.linear.out_features
            if values.shape[-1] != width:
                raise ConditionShapeError(
                    f"{self.model.weights.label} is for tokens of width {width} at {name}; the model has "
                    f"{values.shape[-1]} there.",
                    "Choose a GLIGEN model for the model's family.",
                )
            out: Tensor = gate(values.to(tokens.dtype), tokens).to(values.dtype)
            return out

        return Hooks().with_function(Point.BETWEEN_ATTENTIONS, add)

    def _tokens(self, network: Gligen, height: int, width: int) -> Tensor:
        like = network.position_net.null_positive_feature
        corners, present, texts = (
            like.new_zeros(1, BOXES, 4),
            like.new_zeros(1, BOXES),
            like.new_zeros(1, BOXES, len(like)),
        )
        for number, box in enumerate(self.boxes[:BOXES]):
            sides = (box.x / width, box.y / height, (box.x + box.width) / width, (box.y + box.height) / height)
            corners[0, number] = corners.new_tensor(sides)
            present[0, number] = 1.0
            if box.pooled.shape[-1] != texts.shape[-1]:
                raise ConditionShapeError(
                    f"{self.model.weights.label} is for texts of width {texts.shape[-1]}; a box has one of width "
                    f"{box.pooled.shape[-1]}.",
                    "Choose a GLIGEN model for the model's family.",
                )
            texts[0, number] = box.pooled[0].to(like)
        tokens: Tensor = network.position_net(corners, present, texts)
        return tokens


def load_gligen(path: Path) -> GligenModel:
    """Open a GLIGEN model; weights are read when first used. Raises `CheckpointError`."""
    header = Header(open_weights(path))
    names = {name: name for name in header.shapes if name.startswith("position_net.")}
    gates: dict[str, tuple[int, int]] = {}
    for name, shape in header.shapes.items():
        if match := _FUSER.search(name):
            number = "0" if match[1] == "middle_block" else match[2]
            place = f"{match[1].removesuffix('_blocks').removesuffix('_block')}_{number}"
            names[f"gates.{place}.{match[3]}"] = name
            if match[3] == "linear.weight":
                gates[place] = (shape[0], shape[1])
    if not gates or "position_net.null_positive_feature" not in names:
        message = f"holds no GLIGEN model with boxes of text; it is {described(header)}."
        raise CheckpointError(path, message, type="unknown_model_family")
    renamed = header.renamed(names)
    text_width = renamed.shapes["position_net.null_positive_feature"][0]
    build = partial(Gligen, text_width, renamed.shapes["position_net.linears.4.weight"][0], gates)
    return GligenModel(planned_weights(NetworkPlan(renamed, build, renamed.names)))
