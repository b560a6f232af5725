"""Text models as a handle, and prompts to conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.conditioning import Conditioning
from comfykernel_core_nodes.diffusion.errors import CheckpointError, PromptError
from comfykernel_core_nodes.diffusion.finite_checks import check_output, is_finite
from comfykernel_core_nodes.diffusion.memory import ModelMemory, Part, default_memory
from comfykernel_core_nodes.diffusion.prompt_readers import ClipReader, T5Reader
from comfykernel_core_nodes.diffusion.weight_files import open_weights
from comfykernel_core_nodes.diffusion.weights import WeightPatch, Weights
from comfykernel_sdk.families import Chunk, EmbeddingRows, PromptReader, TextEncoding

# The file of the textual inversion with a name, None when there is none.
EmbeddingLookup = Callable[[str], Path | None]
# Prompts as chunks of tokens, by the name of the text model.
Tokens = Mapping[str, list[Chunk]]


@dataclass(frozen=True, slots=True, eq=False)
class TextPart:
    """One text model: its weights and how it reads prompts."""

    weights: Weights[nn.Module]
    reader: PromptReader


@dataclass(frozen=True, slots=True, eq=False)
class TextStage:
    """Text models as hooks change them, for a part of the run (start, end) in 0..1, or for all of it."""

    range: tuple[float, float] | None
    parts: Mapping[str, TextPart]


@dataclass(frozen=True, eq=False)
class TextEncoder:
    """An immutable handle of the text models of a family.

    `last_layer` is the layer whose output is used (clip skip), None for the one that the models were trained with.
    """

    parts: Mapping[str, TextPart]
    combine: Callable[[Mapping[str, TextEncoding]], TextEncoding]
    last_layer: int | None = None
    options: Mapping[str, int] = field(default_factory=dict)
    """paddings, as `t5xxl_min_length`"""
    stages: tuple[TextStage, ...] = ()
    """where hooks change the models: a prompt is encoded once for each"""
    carried: Mapping[str, object] = field(default_factory=dict)
    """values of the conditions that are encoded, by their names in `Conditioning`"""

    def with_last_layer(self, stop_at: int) -> TextEncoder:
        """Models that stop at a layer counted from the end; beyond the first layer they do not stop."""
        return replace(self, last_layer=stop_at)

    def with_options(self, options: Mapping[str, int]) -> TextEncoder:
        """Models that pad prompts in another way."""
        return replace(self, options={**self.options, **options})

    def with_patches(self, patches: Mapping[str, Mapping[str, WeightPatch]]) -> TextEncoder:
        """Models with one more patch on each named weight: part -> name as in the part's network -> patch."""
        stages = tuple(replace(stage, parts=_patched(stage.parts, patches)) for stage in self.stages)
        return replace(self, parts=_patched(self.parts, patches), stages=stages)

    def tokenize(self, text: str, *, embeddings: EmbeddingRows | None = None, weighted: bool = True) -> Tokens:
        """Chunks of a prompt for every part; `weighted` says whether parentheses weigh."""
        tokens: dict[str, list[Chunk]] = {}
        for name, part in self.parts.items():
            reader = part.reader
            if isinstance(reader, ClipReader | T5Reader):
                reader = reader.with_options(self.options)
                tokens[name] = reader.tokenize(text, embeddings=embeddings, weighted=weighted)
            else:
                tokens[name] = reader.tokenize(text, embeddings=embeddings)
        return tokens

    def encode(
        self,
        tokens: Tokens,
        *,
        memory: ModelMemory | None = None,
        projected: bool = True,
        stage: TextStage | None = None,
    ) -> TextEncoding:
        """Encode chunks of every part; `projected` says whether pooled vectors pass their projection.

        stage: one of `stages`, by default the first, where there are any.
        """
        memory = memory or default_memory()
        encodings: dict[str, TextEncoding] = {}
        chosen = stage or next(iter(self.stages), None)
        for name, part in (self.parts if chosen is None else chosen.parts).items():
            if name not in tokens:
                continue
            reader = part.reader
            if isinstance(reader, ClipReader) and not projected:
                reader = replace(reader, projected=False)
            network = memory.module(part.weights, Part.TEXT)
            encoding = reader.encode(network, tokens[name], last_layer=self.last_layer)
            check_output(part.weights, encoding.hidden, "Encoding of a prompt")
            encodings[name] = encoding
        return self.combine(encodings)


def _patched(parts: Mapping[str, TextPart], patches: Mapping[str, Mapping[str, WeightPatch]]) -> Mapping[str, TextPart]:
    return {
        name: replace(part, weights=part.weights.with_patches(patches[name])) if patches.get(name) else part
        for name, part in parts.items()
    }


def encode_prompt(
    clip: TextEncoder, text: str, *, embeddings: EmbeddingLookup | None = None, memory: ModelMemory | None = None
) -> list[Conditioning]:
    """The condition for a prompt; tokens are [1, length, width], pooled [1, width] or None."""
    return encode_tokens(clip, clip.tokenize(text, embeddings=embedding_rows(embeddings)), memory=memory)


def encode_tokens(
    clip: TextEncoder, tokens: Tokens, *, extra: Mapping[str, object] | None = None, memory: ModelMemory | None = None
) -> list[Conditioning]:
    """The condition for chunks of tokens; `extra` is what the condition carries besides, such as `width`.

    Text models that change over the run give one condition for each part of it.
    """
    encoded: list[Conditioning] = []
    for stage in clip.stages or (None,):
        hidden, pooled = clip.encode(tokens, memory=memory, stage=stage)
        condition = Conditioning(
            hidden, pooled, text_range=None if stage is None else stage.range, extra={**(extra or {})}
        )
        encoded.append(condition.with_changes(**clip.carried))
    return encoded


def embedding_rows(lookup: EmbeddingLookup | None) -> EmbeddingRows | None:
    """Textual inversions as rows, from where their files are."""
    if lookup is None:
        return None
    return lambda name: read_rows(lookup(name))


# Where the published layouts keep the rows that fit any text model, in the order of preference.
_ROW_NAMES: Final = ("string_to_param.*", "emb_params")


def read_rows(path: Path | None) -> dict[str, Tensor] | None:
    """Rows of a textual-inversion file by text model (`clip_l`, `clip_g`); raises `CheckpointError` without any."""
    if path is None:
        return None
    file = open_weights(path)
    if not file.shapes:
        raise CheckpointError(path, "holds no textual inversion.")
    single = next((name for name in _ROW_NAMES if name in file.shapes), None)
    names = {"": single} if single is not None else {name: name for name in sorted(file.shapes)}
    rows = {name: tensor.float() for name, tensor in file.read(names).items()}
    if broken := [names[name] for name, tensor in rows.items() if not is_finite(tensor)]:
        message = f"has NaN or infinity in the rows {broken[0]!r}."
        raise CheckpointError(path, message, "Download the file again, or take the word out of the prompt.")
    return rows


def first_of(encodings: Mapping[str, TextEncoding]) -> TextEncoding:
    """What a single text model gives; raises `PromptError` when it had nothing to read."""
    if not encodings:
        raise PromptError("No text model of the CLIP was given tokens.", "Write a text, or let empty texts be padded.")
    return next(iter(encodings.values()))
