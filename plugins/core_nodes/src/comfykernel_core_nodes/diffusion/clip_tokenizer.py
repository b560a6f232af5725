"""CLIP's byte-level BPE with the public vocabulary of 49408 entries, read from the package `openai-clip`."""

from __future__ import annotations

import gzip
from functools import cache
from importlib.metadata import distribution
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

VOCABULARY_DISTRIBUTION = "openai-clip"
VOCABULARY_FILE = "bpe_simple_vocab_16e6.txt.gz"

START_TOKEN = 49406
END_TOKEN = 49407
SPECIAL_TOKENS = ["<|startoftext|>", "<|endoftext|>"]

# Merges that the 49408 entries have room for: less the two special ones, and the 256 bytes inside and at a word's end.
# The file has more of them.
MERGE_COUNT = 49408 - 2 - 2 * 256

WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


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
    entries += SPECIAL_TOKENS
    vocabulary = {entry: index for index, entry in enumerate(entries)}
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, end_of_word_suffix="</w>", continuing_subword_prefix="", fuse_unk=False)
    )
    # Control characters go, each Chinese character becomes a word, as other readers of SD1.x checkpoints do.
    clean = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=True)
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), clean])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.add_special_tokens([AddedToken(text, normalized=False) for text in SPECIAL_TOKENS])
    return tokenizer


def tokenize(text: str) -> list[int]:
    """Token ids of a text of any length, lower-cased, without start and end tokens around it.

    Where the text itself says `<|startoftext|>` or `<|endoftext|>`, that token is meant.
    """
    ids: list[int] = clip_tokenizer().encode(text, add_special_tokens=False).ids
    return ids
