"""Prompts to conditions: weighted tokens in chunks, textual inversion, clip skip."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.clip_text import ClipTextModel
from comfykernel_core_nodes.diffusion.clip_tokenizer import END_TOKEN, START_TOKEN, tokenize
from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.errors import CheckpointError
from comfykernel_core_nodes.diffusion.memory import ModelMemory, Part, default_memory
from comfykernel_core_nodes.diffusion.prompt_weights import parse_prompt_weights
from comfykernel_core_nodes.diffusion.weight_files import open_weights
from comfykernel_core_nodes.diffusion.weights import WeightPatch, Weights

logger = logging.getLogger(__name__)

EMBEDDING_MARK: Final = "embedding:"
CHUNK_TOKENS: Final = 77
# A word of this many tokens and more may be cut at the end of a chunk; a shorter one moves to the next chunk.
LONG_WORD_TOKENS: Final = 8

# Rows [rows, width] of the textual inversion with a name, None when there is none.
EmbeddingRows = Callable[[str], Tensor | None]
# The file of the textual inversion with a name, None when there is none.
EmbeddingLookup = Callable[[str], Path | None]


class Token(NamedTuple):
    """A token id, or a row of a textual inversion, with its weight and the number of its word (0: none)."""

    id: int | Tensor
    weight: float = 1.0
    word: int = 0


Chunk = list[Token]


@dataclass(frozen=True, eq=False)
class TextEncoder:
    """An immutable handle of a text model; `last_layer` is the layer whose output is used (-1: the last)."""

    weights: Weights[ClipTextModel]
    layers: int
    last_layer: int = -1

    def with_last_layer(self, stop_at: int) -> TextEncoder:
        """A model that stops at a layer counted from the end; beyond the first layer it does not stop."""
        return replace(self, last_layer=stop_at if -self.layers <= stop_at <= -1 else -1)

    def with_patches(self, patches: dict[str, WeightPatch]) -> TextEncoder:
        """A model with one more patch on each named weight (names as in `ClipTextModel`)."""
        return replace(self, weights=self.weights.with_patches(patches))


def encode_prompt(
    clip: TextEncoder, text: str, *, embeddings: EmbeddingLookup | None = None, memory: ModelMemory | None = None
) -> list[Conditioning]:
    """The condition for a prompt: tokens [1, 77 n, width] and the pooled vector [1, width] of the first chunk."""
    rows = None if embeddings is None else lambda name: _read_rows(embeddings(name))
    return [encode_chunks(clip, tokenize_prompt(text, embeddings=rows), memory=memory)]


def encode_chunks(clip: TextEncoder, chunks: Sequence[Chunk], *, memory: ModelMemory | None = None) -> Conditioning:
    """Encode chunks of equal length and apply the weights: away from the empty prompt's encoding, token by token."""
    model = (memory or default_memory()).module(clip.weights, Part.TEXT)
    weights = torch.tensor([[token.weight for token in chunk] for chunk in chunks])
    weighted = bool((weights != 1.0).any())
    batch = [*chunks, empty_chunk()] if weighted else list(chunks)
    device = model.embeddings.token_embedding.weight.device
    with torch.inference_mode():
        ids, rows = _embedded(model, batch)
        encoding = model(ids.to(device), rows=rows, layer=clip.last_layer)
        hidden, pooled = encoding.hidden.float().cpu(), encoding.pooled.float().cpu()
        if weighted:
            base = hidden[-1:]
            scaled = base + (hidden[:-1] - base) * weights[..., None]
            hidden = torch.where(weights[..., None] == 1.0, hidden[:-1], scaled)
    return Conditioning(hidden.flatten(0, 1)[None].clone(), pooled[:1].clone())


def _embedded(model: ClipTextModel, chunks: Sequence[Chunk]) -> tuple[Tensor, Tensor]:
    """Ids [chunks, 77] (0 where a row stands) and embedding rows [chunks, 77, width]; rows of another width go."""
    width, device = model.config.width, model.embeddings.token_embedding.weight.device
    kept = [[token for token in chunk if isinstance(token.id, int) or token.id.shape[-1] == width] for chunk in chunks]
    if any(len(a) != len(b) for a, b in zip(kept, chunks, strict=True)):
        logger.warning("A textual inversion was left out: it is not made for a text model of width %d.", width)
    kept = [[*chunk, *[Token(END_TOKEN)] * (CHUNK_TOKENS - len(chunk))] for chunk in kept]
    ids = torch.tensor([[token.id if isinstance(token.id, int) else 0 for token in chunk] for chunk in kept])
    rows = model.embed(ids.to(device)).clone()
    for i, chunk in enumerate(kept):
        for j, token in enumerate(chunk):
            if isinstance(token.id, Tensor):
                rows[i, j] = token.id.to(rows.device, rows.dtype)
    return ids, rows


def empty_chunk() -> Chunk:
    """The chunk of the empty prompt."""
    return [Token(START_TOKEN), *[Token(END_TOKEN)] * (CHUNK_TOKENS - 1)]


def tokenize_prompt(text: str, *, embeddings: EmbeddingRows | None = None) -> list[Chunk]:
    """Chunks of 77 tokens: start token, words, end token, which also pads."""
    words = [
        [(token, segment.weight) for token in word]
        for segment in parse_prompt_weights(text)
        for word in _segment_words(segment.text, embeddings)
    ]
    chunks: list[Chunk] = [[Token(START_TOKEN)]]
    for number, word in enumerate(words, start=1):
        tokens = [Token(token, weight, number) for token, weight in word]
        while tokens:
            room = CHUNK_TOKENS - 1 - len(chunks[-1])
            if len(tokens) <= room:
                chunks[-1].extend(tokens)
                break
            if len(tokens) >= LONG_WORD_TOKENS:
                chunks[-1].extend(tokens[:room])
                tokens = tokens[room:]
            chunks.append([Token(START_TOKEN)])
    return [[*chunk, *[Token(END_TOKEN)] * (CHUNK_TOKENS - len(chunk))] for chunk in chunks]


def _segment_words(text: str, embeddings: EmbeddingRows | None) -> list[list[int | Tensor]]:
    """Token groups of a segment: text, and textual inversions at its start or after a space or a line end."""
    if embeddings is None:
        return [list(tokenize(text))]
    words: list[list[int | Tensor]] = []
    for part in re.split(rf"(?:^|[ \n])(?={EMBEDDING_MARK})", text):
        if part.startswith(EMBEDDING_MARK):
            rows, part = _inversion(part[len(EMBEDDING_MARK) :], embeddings)
            if rows is not None:
                words.append(list(rows))
        if part:
            words.append(list(tokenize(part)))
    return words


def _inversion(text: str, embeddings: EmbeddingRows) -> tuple[Tensor | None, str]:
    """Rows of the inversion that the text begins with, and the text after its name."""
    name, *rest = text.split() or [""]
    leftover = " ".join(rest)
    rows = embeddings(name) if name else None
    if rows is None and name != (bare := name.strip(",")):
        rows, leftover = embeddings(bare), f"{name[len(bare) :]} {leftover}"
    if rows is None:
        logger.warning("There is no textual inversion %r; the prompt is used without it.", name)
        return None, leftover
    return rows.reshape(-1, rows.shape[-1]), leftover


# Where the published layouts keep the rows for the text model of SD1, in the order of preference.
_ROW_NAMES: Final = ("clip_l", "string_to_param.*", "emb_params")


def _read_rows(path: Path | None) -> Tensor | None:
    """Rows of a textual-inversion file; raises `CheckpointError` when it holds none."""
    if path is None:
        return None
    file = open_weights(path)
    name = next((name for name in _ROW_NAMES if name in file.shapes), next(iter(file.shapes), None))
    if name is None:
        raise CheckpointError(path, "holds no textual inversion.")
    return file.read({"rows": name})["rows"].float()
