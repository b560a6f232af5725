"""How each known text model reads prompts: its tokens, its chunks, and which of its outputs is used."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, cast

import torch
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion import clip_tokenizer, t5_tokenizer
from comfykernel_core_nodes.diffusion.clip_text import ClipTextModel
from comfykernel_core_nodes.diffusion.eight_bit_layers import held_weight
from comfykernel_core_nodes.diffusion.prompt_tokens import ChunkForm, tokenize_prompt
from comfykernel_core_nodes.diffusion.t5_encoder import T5Encoder
from comfykernel_sdk.families import Chunk, EmbeddingRows, PromptReader, TextEncoding, Token

logger = logging.getLogger(__name__)

CLIP_LENGTH: Final = 77

# A text model as `weigh` runs it: ids [chunks, length] and rows [chunks, length, width].
Run = Callable[[Tensor, Tensor], TextEncoding]


@dataclass(frozen=True, slots=True)
class ClipReader:
    """Prompts for a CLIP text model, in chunks of 77 tokens.

    `layer` is the layer whose output is used (None: the last, normalised); `normed` says whether an earlier layer's
    output passes the final norm; `projected` whether the pooled vector passes the text projection.
    """

    model: str
    form: ChunkForm
    layer: int | None = None
    normed: bool = True
    projected: bool = True

    def tokenize(self, text: str, *, embeddings: EmbeddingRows | None = None, weighted: bool = True) -> list[Chunk]:
        """Chunks of 77 tokens: start token, words, end token, padding."""
        return tokenize_prompt(
            text, self.form, clip_tokenizer.tokenize, model=self.model, embeddings=embeddings, weighted=weighted
        )

    def encode(self, network: nn.Module, chunks: Sequence[Chunk], *, last_layer: int | None = None) -> TextEncoding:
        """Hidden [1, 77 n, width], and pooled [1, width] of the first chunk."""
        model = cast(ClipTextModel, network)
        layer = self.layer if last_layer is None else last_layer
        count = model.config.layers
        last = layer is None or not -count <= layer <= -1

        def run(ids: Tensor, rows: Tensor) -> TextEncoding:
            wanted = -1 if last or layer is None else layer
            hidden, pooled = model(ids, rows=rows, layer=wanted, final_norm=last or self.normed, project=self.projected)
            return TextEncoding(hidden, pooled)

        return weigh(run, chunks, self.form, model.embeddings.token_embedding, self.model)

    def with_options(self, options: Mapping[str, int]) -> ClipReader:
        """With another padding: `MODEL_min_padding` and `MODEL_min_length` in tokens."""
        return replace(self, form=_with_options(self.form, self.model, options))


@dataclass(frozen=True, slots=True)
class T5Reader:
    """Prompts for a T5 encoder: one chunk, padded to a length."""

    model: str = "t5xxl"
    form: ChunkForm = field(
        default_factory=lambda: ChunkForm(t5_tokenizer.END_TOKEN, t5_tokenizer.PAD_TOKEN, least=256)
    )

    def tokenize(self, text: str, *, embeddings: EmbeddingRows | None = None, weighted: bool = True) -> list[Chunk]:
        """One chunk: words, end token, padding."""
        return tokenize_prompt(
            text, self.form, t5_tokenizer.tokenize_t5, model=self.model, embeddings=embeddings, weighted=weighted
        )

    def encode(self, network: nn.Module, chunks: Sequence[Chunk], *, last_layer: int | None = None) -> TextEncoding:
        """Hidden [1, tokens, width]; T5 has no pooled vector."""
        model = cast(T5Encoder, network)
        layer = -1 if last_layer is None or not -model.config.layers <= last_layer <= -1 else last_layer

        def run(ids: Tensor, rows: Tensor) -> TextEncoding:
            return TextEncoding(model(ids, rows=rows, layer=layer))

        return weigh(run, chunks, self.form, model.shared, self.model)

    def with_options(self, options: Mapping[str, int]) -> T5Reader:
        """With another padding: `MODEL_min_padding` and `MODEL_min_length` in tokens."""
        return replace(self, form=_with_options(self.form, self.model, options))


def _with_options(form: ChunkForm, model: str, options: Mapping[str, int]) -> ChunkForm:
    padding = options.get(f"{model}_min_padding", form.padding)
    return replace(form, padding=padding, least=options.get(f"{model}_min_length", form.least))


def weigh(run: Run, chunks: Sequence[Chunk], form: ChunkForm, embedding: nn.Module, model: str) -> TextEncoding:
    """Run a text model on chunks and move each token away from the empty prompt's encoding by its weight.

    Gives hidden [1, tokens of all chunks, width], and the pooled vector of the first chunk, float32 on the CPU.
    """
    weights = torch.tensor([[token.weight for token in chunk] for chunk in chunks])
    weighted = bool((weights != 1.0).any())
    batch = [*chunks, form.empty(weights.shape[1])] if weighted else list(chunks)
    with torch.inference_mode():
        encoding = run(*embedded(batch, form, embedding, model))
        hidden = encoding.hidden.float().cpu()
        pooled = None if encoding.pooled is None else encoding.pooled[:1].float().cpu().clone()
        if weighted:
            base = hidden[-1:]
            scaled = base + (hidden[:-1] - base) * weights[..., None]
            hidden = torch.where(weights[..., None] == 1.0, hidden[:-1], scaled)
    return TextEncoding(hidden.flatten(0, 1)[None].clone(), pooled)


def embedded(chunks: Sequence[Chunk], form: ChunkForm, embedding: nn.Module, model: str) -> tuple[Tensor, Tensor]:
    """Ids [chunks, length] (0 where a row stands) and embedding rows [chunks, length, width].

    Rows of a textual inversion that have another width than the model are left out.
    """
    table = held_weight(embedding)
    width, length = table.shape[1], len(chunks[0])
    kept = [[token for token in chunk if isinstance(token.id, int) or token.id.shape[-1] == width] for chunk in chunks]
    if any(len(a) != len(b) for a, b in zip(kept, chunks, strict=True)):
        logger.warning("A textual inversion was left out: it is not made for %s of width %d.", model, width)
    kept = [[*chunk, *[Token(form.pad)] * (length - len(chunk))] for chunk in kept]
    ids = torch.tensor([[token.id if isinstance(token.id, int) else 0 for token in chunk] for chunk in kept])
    ids = ids.to(table.device)
    rows: Tensor = embedding(ids).clone()
    for i, chunk in enumerate(kept):
        for j, token in enumerate(chunk):
            if isinstance(token.id, Tensor):
                rows[i, j] = token.id.to(rows.device, rows.dtype)
    return ids, rows


_CLIP_L: Final = ChunkForm(start=49406, end=49407, pad=49407, length=CLIP_LENGTH)
_CLIP_ZERO_PADDED: Final = replace(_CLIP_L, pad=0)

READERS: Final[Mapping[str, PromptReader]] = {
    # SD1, Flux: the last layer; the pooled vector was not projected in training.
    "clip_l": ClipReader("clip_l", _CLIP_L, projected=False),
    # SDXL, SD3: the last but one, not normalised (Podell et al. 2023, arXiv:2307.01952, section 2.1).
    "clip_l_penultimate": ClipReader("clip_l", _CLIP_L, layer=-2, normed=False, projected=False),
    "clip_g": ClipReader("clip_g", _CLIP_ZERO_PADDED, layer=-2, normed=False),
    # SD2: the last but one, normalised.
    "clip_h": ClipReader("clip_h", _CLIP_ZERO_PADDED, layer=-2),
    "t5xxl": T5Reader(),
    "t5xxl_77": T5Reader(form=ChunkForm(t5_tokenizer.END_TOKEN, t5_tokenizer.PAD_TOKEN, least=77)),
}
"""Known readers, by the name that a family may give."""
