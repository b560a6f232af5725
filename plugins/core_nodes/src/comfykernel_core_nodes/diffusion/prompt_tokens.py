"""Prompts to chunks of tokens: weights, words that stay together, textual inversion."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from torch import Tensor

from comfykernel_core_nodes.diffusion.prompt_weights import Segment, literal_text, parse_prompt_weights
from comfykernel_sdk.families import Chunk, EmbeddingRows, Token

logger = logging.getLogger(__name__)

EMBEDDING_MARK: Final = "embedding:"
# A word of this many tokens and more may be cut at the end of a chunk; a shorter one moves to the next chunk.
LONG_WORD_TOKENS: Final = 8


@dataclass(frozen=True, slots=True)
class ChunkForm:
    """The form of a text model's chunks.

    `length` is None for a model that reads a text of any length in one chunk; the last chunk is padded by `padding`
    tokens, then to `length`, then to `least`.
    """

    end: int
    pad: int
    start: int | None = None
    length: int | None = None
    least: int = 0
    padding: int = 0

    def begin(self) -> Chunk:
        """A chunk with nothing but its start."""
        return [] if self.start is None else [Token(self.start)]

    def empty(self, length: int) -> Chunk:
        """The chunk of the empty prompt, of a given length."""
        chunk = [*self.begin(), Token(self.end)]
        return chunk + [Token(self.pad)] * (length - len(chunk))

    def room(self, chunk: Chunk) -> int:
        """How many tokens fit before the end token."""
        return 2**31 if self.length is None else self.length - 1 - len(chunk)


def tokenize_prompt(
    text: str,
    form: ChunkForm,
    words: Callable[[str], list[int]],
    *,
    model: str = "",
    embeddings: EmbeddingRows | None = None,
    weighted: bool = True,
) -> list[Chunk]:
    """Chunks of a prompt.

    words: token ids of a text without weights. model: whose rows of a textual inversion are taken, where the file has
    rows for several. weighted: whether parentheses weigh; otherwise they are text.
    """
    segments = parse_prompt_weights(text) if weighted else [Segment(literal_text(text), 1.0)]
    groups = [
        (group, segment.weight)
        for segment in segments
        for group in _segment_words(segment.text, words, model, embeddings)
    ]
    chunks: list[Chunk] = [form.begin()]
    for number, (group, weight) in enumerate(groups, start=1):
        _place([Token(token, weight, number) for token in group], chunks, form)
    for chunk in chunks:
        chunk.append(Token(form.end))
        padding = form.padding if chunk is chunks[-1] else 0
        least = form.least if chunk is chunks[-1] else 0
        chunk.extend([Token(form.pad)] * max(padding, (form.length or 0) - len(chunk), least - len(chunk)))
    return chunks


def _place(tokens: list[Token], chunks: list[Chunk], form: ChunkForm) -> None:
    """Put a word into the last chunk, or into new ones."""
    long = len(tokens) >= LONG_WORD_TOKENS
    while tokens:
        room = form.room(chunks[-1])
        if len(tokens) <= room:
            chunks[-1].extend(tokens)
            return
        if long:
            chunks[-1].extend(tokens[:room])
            tokens = tokens[room:]
        chunks.append(form.begin())


def _segment_words(
    text: str, words: Callable[[str], list[int]], model: str, embeddings: EmbeddingRows | None
) -> list[list[int | Tensor]]:
    """Token groups of a segment: text, and textual inversions at its start or after a space or a line end."""
    if embeddings is None:
        return [list(words(text))]
    groups: list[list[int | Tensor]] = []
    for part in re.split(rf"(?:^|[ \n])(?={EMBEDDING_MARK})", text):
        if part.startswith(EMBEDDING_MARK):
            rows, part = _inversion(part[len(EMBEDDING_MARK) :], model, embeddings)
            if rows is not None:
                groups.append(list(rows))
        if part:
            groups.append(list(words(part)))
    return groups


def _inversion(text: str, model: str, embeddings: EmbeddingRows) -> tuple[Tensor | None, str]:
    """Rows of the inversion that the text begins with, and the text after its name."""
    name, *rest = text.split() or [""]
    leftover = " ".join(rest)
    rows = embeddings(name) if name else None
    if rows is None and name != (bare := name.strip(",")):
        rows, leftover = embeddings(bare), f"{name[len(bare) :]} {leftover}"
    if not rows:
        logger.warning("There is no textual inversion %r; the prompt is used without it.", name)
        return None, leftover
    chosen = rows[model] if model in rows else next(iter(rows.values()))
    return chosen.reshape(-1, chosen.shape[-1]), leftover
