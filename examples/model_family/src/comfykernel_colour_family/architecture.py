"""The whole family: a network on pixels, a text model of a few words, and how their files are known."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import torch
from torch import Tensor, nn

from comfykernel_sdk.families import (
    Chunk,
    CodecPlan,
    Condition,
    DiffusionPlan,
    EmbeddingRows,
    LatentFormat,
    ModelHeader,
    NetworkInput,
    NetworkPlan,
    Run,
    SamplingSpec,
    TextEncoding,
    TextModelPlan,
    TextPlan,
    Token,
    TokenSequence,
)

WORDS: Final = ("black", "red", "green", "blue", "yellow", "cyan", "magenta", "white")
"""What the text model knows; a word's place is its token. A prompt without any of them means the first."""

WIDTH: Final = 4
"""Numbers that a word is turned into."""

TEXT_PREFIX: Final = "text_model."

PIXELS: Final = LatentFormat(channels=3, downscale=1, rgb_factors=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
"""Latents are colours in -1..1: one for each pixel."""


class ColourNetwork(nn.Module):
    """Predicts the way from a picture's colours to noise, for pictures that go from left to right through the words.

    The words' colours stand at equal distances; between them they are mixed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.to_colour = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor, timesteps: Tensor, context: Tensor) -> Tensor:
        """x: [batch, 3, height, width]; timesteps: [batch], 0..1; context: [batch, words, WIDTH]."""
        colours = self.to_colour(context).transpose(1, 2)
        picture = nn.functional.interpolate(colours, size=x.shape[3], mode="linear", align_corners=True)[:, :, None]
        time = timesteps.to(x.dtype).view(-1, 1, 1, 1).clamp(min=1e-3)
        flow: Tensor = (x - picture) / time
        return flow


class ColourWords(nn.Module):
    """A row of numbers for each word."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(len(WORDS), WIDTH)


class WordReader:
    """Prompts as the tokens of the words that are known."""

    def tokenize(self, text: str, *, embeddings: EmbeddingRows | None = None) -> list[Chunk]:
        """One chunk: a token for each known word."""
        known = [WORDS.index(word) for word in re.findall(r"[a-z]+", text.lower()) if word in WORDS]
        return [[Token(number) for number in known or [0]]]

    def encode(self, network: nn.Module, chunks: Sequence[Chunk], *, last_layer: int | None = None) -> TextEncoding:
        """The rows of all words, [1, words, WIDTH]."""
        assert isinstance(network, ColourWords)
        ids = torch.tensor([[token.id for chunk in chunks for token in chunk]], device=network.words.weight.device)
        return TextEncoding(network.words(ids).float().cpu())


class ColourFamily:
    """Checkpoints that `write_checkpoint` writes."""

    name: Final = "colour"

    def diffusion_plan(self, header: ModelHeader) -> DiffusionPlan | None:
        """The plan of the network, below the prefix of a checkpoint or in a file of its own."""
        if header.shapes.get("to_colour.weight") != (3, WIDTH):
            return None
        network = NetworkPlan(header, ColourNetwork, header.names)
        # Times are 0..1 here; other families count to 1000.
        sampling = SamplingSpec("flow", {"shift": 1.0, "multiplier": 1.0})
        return DiffusionPlan(network, sampling, PIXELS, read_condition)

    def text_plan(self, files: Sequence[ModelHeader]) -> TextPlan | None:
        """The plan of the text model, in a checkpoint or in a file of its own."""
        for file in files:
            header = file.below(TEXT_PREFIX)
            if header.shapes.get("words.weight") == (len(WORDS), WIDTH):
                plan = TextModelPlan(NetworkPlan(header, ColourWords, header.names), WordReader())
                return TextPlan({"words": plan}, lambda encodings: encodings["words"])
        return None

    def codec_plan(self, header: ModelHeader) -> CodecPlan | None:
        """None: there is nothing between pixels and latents; the loader's `pixel_space` is for such models."""
        return None


def read_condition(condition: Condition, run: Run) -> Mapping[str, NetworkInput]:
    """What the network is given for a condition."""
    return {"context": TokenSequence(condition.tokens)}
