"""Checks of prompts: weights, and the tokens of each family's text models."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from comfykernel_core_nodes.diffusion.prompt_readers import READERS, ClipReader, T5Reader
from comfykernel_core_nodes.diffusion.prompt_weights import parse_prompt_weights
from comfykernel_core_nodes.golden import recipe
from comfykernel_core_nodes.golden.records import Absent, Case, Records, unequal
from comfykernel_sdk.families import Chunk

# The readers of each family, by the name of their token lists.
FAMILY_READERS: Final[Mapping[str, Mapping[str, str]]] = {
    "sd1": {"l": "clip_l"},
    "sd2": {"h": "clip_h"},
    "sdxl": {"l": "clip_l_penultimate", "g": "clip_g"},
    "sd3": {"l": "clip_l_penultimate", "g": "clip_g", "t5xxl": "t5xxl_77"},
    "flux": {"l": "clip_l", "t5xxl": "t5xxl"},
}
# The folder of textual inversions as prompts of the records may name it from inside.
FOLDER: Final = "../emb/"


class TokenChecks:
    """The group `tokenizer`."""

    def __init__(self, records: Records) -> None:
        group = records.group("tokenizer")
        self._files: Mapping[str, Mapping[str, str]] = group["embedding_files"]
        self._shapes: Mapping[str, list[int]] = group["embedding_shapes"]

    def check(self, case: Case) -> list[str]:
        """What is wrong with a case."""
        family, _, option = case.name.split("/")[0].partition("_")
        prompt = case.inputs["prompt"]
        if family == "weights":
            got = [[segment.text, segment.weight] for segment in parse_prompt_weights(prompt)]
            return unequal("segments", got, case.expect["segments"])
        if family not in FAMILY_READERS:
            raise Absent(f"no text models of the family {family!r}")
        problems: list[str] = []
        for name, wanted in case.expect["chunks"].items():
            reader = READERS[FAMILY_READERS[family][name]]
            if not isinstance(reader, ClipReader | T5Reader):
                raise Absent(f"no reader with options for {name!r}")
            reader = reader.with_options(case.inputs.get("tokenizer_options", {}))
            rows = None if option == "no_embedding_dir" else self._rows
            chunks = reader.tokenize(prompt, embeddings=rows, weighted=not case.inputs.get("disable_weights"))
            problems += [f"{name}: {problem}" for problem in self._compared(chunks, wanted)]
        return problems

    def _rows(self, name: str) -> dict[str, Tensor] | None:
        name = posixpath.normpath(name).replace(FOLDER, "")
        for suffix in ("", ".safetensors", ".pt"):
            # A file in a folder below is found without the folder's name, too.
            for file, keys in self._files.items():
                if name + suffix in (file, posixpath.basename(file)):
                    return {part: recipe.weight(key, self._shapes[key]) for part, key in sorted(keys.items())}
        return None

    def _compared(self, chunks: Sequence[Chunk], wanted: Sequence[Mapping[str, Any]]) -> list[str]:
        problems = unequal("chunks", len(chunks), len(wanted))
        for chunk, want in zip(chunks, wanted, strict=False):
            ids, weights, words = (_padded(want[part], want["length"]) for part in ("ids", "weights", "word_ids"))
            got = [self._named(token.id, want_id) for token, want_id in zip(chunk, ids, strict=False)]
            problems += unequal("length", len(chunk), want["length"])
            problems += unequal("ids", got, ids) + unequal("weights", [token.weight for token in chunk], weights)
            problems += unequal("words", [token.word for token in chunk], words)
        return problems

    def _named(self, id: int | Tensor, wanted: object) -> object:
        """The id, or the wanted name of a row when it is that row."""
        if isinstance(id, int):
            return id
        key, _, row = str(wanted).partition("#")
        if key not in self._shapes:
            return "a row"
        shape = self._shapes[key]
        rows = recipe.weight(key, shape).reshape(-1, shape[-1])
        return wanted if torch.equal(rows[int(row)], id) else "another row"


def _padded(values: Sequence[object], length: int) -> list[object]:
    """Records show the padding once."""
    return [*values, *[values[-1]] * (length - len(values))]
