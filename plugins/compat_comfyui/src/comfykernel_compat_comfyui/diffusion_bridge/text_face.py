"""Text models as packs know them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from comfykernel_sdk.families import Token

from ..missing_names import missing_attribute
from ..shims import folder_paths
from .library import Part, TextEncoder, default_memory, embedding_rows
from .weight_changes import text_patches

EMBEDDING_ENDINGS: Final = (".safetensors", ".pt", ".bin")


class CLIP:
    """The text models of a family: prompts to chunks of weighted tokens, chunks to conditions."""

    def __init__(self, *, handle: TextEncoder) -> None:
        self.handle = handle
        self.layer_idx: int | None = handle.last_layer
        self.apply_hooks_to_conds: Any = None
        self.use_clip_schedule = False

    def clone(self) -> CLIP:
        """Another object of the same models."""
        return CLIP(handle=self.handle)

    @property
    def patcher(self) -> Any:
        """What packs hand to ``load_models_gpu``."""
        return self

    @property
    def cond_stage_model(self) -> Any:
        """The networks, on their device: by the name of their part as attributes ``clip_l``, ``clip_g`` ..."""
        return TextNetworks(self.handle)

    @property
    def tokenizer(self) -> Any:
        """What cuts prompts into tokens."""
        return PromptCutter(self)

    def load_model(self) -> CLIP:
        """Have the networks loaded."""
        self.load_to_device()
        return self

    def load_to_device(self) -> None:
        """Have the networks loaded."""
        for part in self.handle.parts.values():
            default_memory().module(part.weights, Part.TEXT)

    def clip_layer(self, layer_idx: int | None) -> None:
        """Stop at a layer counted from the end."""
        self.layer_idx = layer_idx
        self.handle = replace(self.handle, last_layer=layer_idx)

    def add_patches(self, patches: Mapping[str, Any], strength_patch: float = 1.0, strength_model: float = 1.0) -> (
        list[str]
    ):  # fmt: skip
        """Change weights; gives the names of those that were."""
        changes = text_patches(self.handle, patches, strength_patch, strength_model)
        self.handle = self.handle.with_patches(changes.by_part)
        return changes.used

    def tokenize(self, text: str, return_word_ids: bool = False, **kwargs: Any) -> dict[str, list[list[Any]]]:
        """Chunks of a prompt by text model: tuples of token (or row of a textual inversion) and weight."""
        tokens = self.handle.tokenize(text, embeddings=embedding_rows(_embedding_file))
        size = 3 if return_word_ids else 2
        return {name: [[tuple(token)[:size] for token in chunk] for chunk in chunks] for name, chunks in tokens.items()}

    def encode_from_tokens(
        self, tokens: Mapping[str, Any], return_pooled: Any = False, return_dict: bool = False
    ) -> Any:
        """Hidden states [1, tokens, width]; with ``return_pooled`` also the pooled vector."""
        encoding = self.handle.encode(
            {name: [[Token(*token) for token in chunk] for chunk in chunks] for name, chunks in tokens.items()},
            projected=return_pooled != "unprojected",
        )
        if return_dict:
            return {"cond": encoding.hidden, "pooled_output": encoding.pooled}
        return (encoding.hidden, encoding.pooled) if return_pooled else encoding.hidden

    def encode_from_tokens_scheduled(
        self, tokens: Mapping[str, Any], unprojected: bool = False, add_dict: Mapping[str, Any] | None = None,
        show_pbar: bool = True,
    ) -> list[list[Any]]:  # fmt: skip
        """Conditions of tokens, with more entries."""
        pooled = "unprojected" if unprojected else True
        encoded = dict(self.encode_from_tokens(tokens, return_pooled=pooled, return_dict=True))
        return [[encoded.pop("cond"), {**encoded, **(add_dict or {})}]]

    def encode(self, text: str) -> Tensor:
        """Hidden states of a prompt."""
        hidden: Tensor = self.encode_from_tokens(self.tokenize(text))
        return hidden

    def set_tokenizer_option(self, option_name: str, value: int) -> None:
        """Pad prompts in another way."""
        self.handle = self.handle.with_options({option_name: value})

    def get_key_patches(self) -> dict[str, list[Tensor]]:
        """The weights by name."""
        return {
            f"{name}.transformer.{key}": [tensor]
            for name, part in self.handle.parts.items()
            for key, tensor in part.weights.source.tensors.items()
        }

    def get_sd(self) -> dict[str, Tensor]:
        """The weights by name."""
        return {name: entry[0] for name, entry in self.get_key_patches().items()}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise missing_attribute("comfy.sd.CLIP", name)


class TextNetworks:
    """The networks of a family by name."""

    def __init__(self, handle: TextEncoder) -> None:
        self.handle = handle

    def __getattr__(self, name: str) -> Any:
        part = self.handle.parts.get(name.removeprefix("clip_")) or self.handle.parts.get(name)
        if name.startswith("__") or part is None:
            raise AttributeError(name) if name.startswith("__") else missing_attribute("clip.cond_stage_model", name)
        return TextNetwork(self.handle, name.removeprefix("clip_") if name not in self.handle.parts else name)

    def reset_clip_layer(self) -> None:
        """The layer belongs to the handle."""

    reset_clip_options = reset_clip_layer

    def encode_token_weights(self, tokens: Any) -> tuple[Tensor, Tensor | None]:
        """Hidden states and pooled vector of tokens, of all text models together."""
        cond, pooled = CLIP(handle=self.handle).encode_from_tokens(tokens, return_pooled=True)
        return cond, pooled


class TextNetwork:
    """One text model."""

    def __init__(self, handle: TextEncoder, name: str) -> None:
        self.name = name
        self._handle = handle

    @property
    def transformer(self) -> Any:
        """The network itself."""
        return default_memory().module(self._handle.parts[self.name].weights, Part.TEXT)

    def encode_token_weights(self, token_weight_pairs: Any) -> tuple[Tensor, Tensor | None]:
        """Hidden states and pooled vector of chunks of this model's tokens."""
        part = self._handle.parts[self.name]
        chunks = [[Token(*token) for token in chunk] for chunk in token_weight_pairs]
        encoding = part.reader.encode(self.transformer, chunks, last_layer=self._handle.last_layer)
        return encoding.hidden, encoding.pooled


class PromptCutter:
    """Cuts prompts into tokens."""

    def __init__(self, clip: CLIP) -> None:
        self._clip = clip

    def tokenize_with_weights(self, text: str, return_word_ids: bool = False, **kwargs: Any) -> Any:
        """As :meth:`CLIP.tokenize`."""
        return self._clip.tokenize(text, return_word_ids=return_word_ids, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise missing_attribute("clip.tokenizer", name)


def _embedding_file(name: str) -> Path | None:
    for candidate in (name, *(name + ending for ending in EMBEDDING_ENDINGS)):
        if (path := folder_paths.get_full_path("embeddings", candidate)) is not None:
            return Path(path)
    return None


def clip_of(handle: object) -> CLIP:
    """Text models as packs know them."""
    assert isinstance(handle, TextEncoder)
    return CLIP(handle=handle)


__all__ = ["CLIP", "clip_of", "torch"]
