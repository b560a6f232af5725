"""T5's SentencePiece tokens with the public vocabulary of 32,100 entries."""

from __future__ import annotations

import lzma
from functools import cache
from importlib.resources import files
from typing import Final

from tokenizers import Tokenizer

PAD_TOKEN: Final = 0
END_TOKEN: Final = 1


@cache
def t5_tokenizer() -> Tokenizer:
    """The tokenizer, without an end token after the text; read once per process (about 0.2 s)."""
    packed = files(__package__).joinpath("vocabularies", "t5.json.xz").read_bytes()
    tokenizer: Tokenizer = Tokenizer.from_str(lzma.decompress(packed).decode("utf-8"))
    return tokenizer


def tokenize_t5(text: str) -> list[int]:
    """Token ids of a text of any length, without an end token."""
    ids: list[int] = t5_tokenizer().encode(text, add_special_tokens=False).ids
    return ids
