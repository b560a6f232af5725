"""CLIP's byte-level BPE with the public vocabulary of 49408 entries, read from the package `openai-clip`."""

from __future__ import annotations

import gzip
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

VOCABULARY_DISTRIBUTION = "openai-clip"
VOCABULARY_FILE = "bpe_simple_vocab_16e6.txt.gz"

START_TOKEN = 49406
END_TOKEN = 49407

# Merges that the vocabulary has room for: 49152 entries before the two special ones, less twice the 256 bytes.
MERGE_COUNT = 49152 - 2 * 256

WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def vocabulary_path() -> Path:
    """Where the vocabulary file is installed.

    Raises FileNotFoundError when the installed distribution lacks it, PackageNotFoundError when there is none.
    """
    for entry in distribution(VOCABULARY_DISTRIBUTION).files or ():
        if entry.name == VOCABULARY_FILE:
            return Path(str(entry.locate()))
    raise FileNotFoundError(f"{VOCABULARY_DISTRIBUTION} is installed without {VOCABULARY_FILE}")


def byte_characters() -> list[str]:
    """The printable character that stands for each byte, in the order of the vocabulary (GPT-2's byte alphabet)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = 256 - len(printable)
    return [chr(code) for code in printable] + [chr(256 + index) for index in range(others)]


@cache
def clip_tokenizer() -> Tokenizer:
    """The tokenizer, without special tokens around the text; read once per process."""
    lines = gzip.decompress(vocabulary_path().read_bytes()).decode("utf-8").split("\n")
    merges: list[tuple[str, str]] = []
    for line in lines[1 : MERGE_COUNT + 1]:
        left, right = line.split()
        merges.append((left, right))
    alphabet = byte_characters()
    entries = alphabet + [character + "</w>" for character in alphabet] + [a + b for a, b in merges]
    entries += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {entry: index for index, entry in enumerate(entries)}
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, end_of_word_suffix="</w>", continuing_subword_prefix="", fuse_unk=False)
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def tokenize(text: str) -> list[int]:
    """Token ids of a text, lower-cased, without start and end tokens and of any length."""
    ids: list[int] = clip_tokenizer().encode(text, add_special_tokens=False).ids
    return ids
