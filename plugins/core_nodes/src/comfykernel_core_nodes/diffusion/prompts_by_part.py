"""Prompts of their own for each text model of a family: one list of tokens a model, as long as each other."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from comfykernel_core_nodes.diffusion.errors import PromptError
from comfykernel_core_nodes.diffusion.prompt_readers import T5Reader
from comfykernel_core_nodes.diffusion.text_encoding import EmbeddingLookup, TextEncoder, Tokens, embedding_rows
from comfykernel_sdk.families import Chunk, Token

logger = logging.getLogger(__name__)

CLIP_PARTS = ("l", "g")


def tokens_of_parts(
    clip: TextEncoder,
    texts: Mapping[str, str],
    *,
    embeddings: EmbeddingLookup | None = None,
    skip_empty: bool = False,
) -> Tokens:
    """Tokens of the text for each part that is there: name of the part -> text.

    The two CLIP models see equally many chunks, empty ones at the end of the shorter text. A part without a text reads
    that of the first part with one. `skip_empty`: empty texts give no tokens; T5 sees its end token alone.

    Raises:
        PromptError: none of the parts is there.
    """
    present = [name for name in texts if name in clip.parts]
    if not present:
        wanted, found = ", ".join(texts), ", ".join(clip.parts) or "none"
        message = f"The texts are for the text models {wanted}; this CLIP has {found}."
        raise PromptError(message, "Load the text models of the family that the node belongs to.")
    if unread := [name for name in texts if name not in clip.parts and texts[name]]:
        logger.warning("The texts for %s are not used: the CLIP has no such text model.", ", ".join(unread))
    rows = embedding_rows(embeddings)
    tokens: dict[str, list[Chunk]] = {}
    for name in clip.parts:
        text = texts.get(name, texts[present[0]])
        tokens[name] = [] if skip_empty and not text else list(clip.tokenize(text, embeddings=rows)[name])
    _level(clip, tokens)
    for name, chunks in list(tokens.items()):
        reader = clip.parts[name].reader
        if not chunks and isinstance(reader, T5Reader):
            tokens[name] = [[Token(reader.form.end)]]
    return {name: chunks for name, chunks in tokens.items() if chunks}


def _level(clip: TextEncoder, tokens: dict[str, list[Chunk]]) -> None:
    """Add empty chunks to the shorter of the CLIP models' lists."""
    present = [name for name in CLIP_PARTS if name in tokens]
    longest = max((len(tokens[name]) for name in present), default=0)
    for name in present:
        if lacking := longest - len(tokens[name]):
            tokens[name].extend(clip.tokenize("")[name] * lacking)
