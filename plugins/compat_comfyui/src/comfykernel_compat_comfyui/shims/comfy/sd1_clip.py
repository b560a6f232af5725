"""Weighted prompts: brackets, weights, and what stands for escaped brackets."""

from __future__ import annotations

from typing import Final

from comfykernel_compat_comfyui.lacking_names import lacking_class

BRACKET_WEIGHT: Final = 1.1
"""Factor of one pair of round brackets."""
_ESCAPED: Final = (("\\)", "\0\1"), ("\\(", "\0\2"))


def escape_important(text: str) -> str:
    """A text in which escaped brackets can't be mistaken for weights."""
    for written, hidden in _ESCAPED:
        text = text.replace(written, hidden)
    return text


def unescape_important(text: str) -> str:
    """A text with the brackets back that were escaped, now without their backslash."""
    for written, hidden in _ESCAPED:
        text = text.replace(hidden, written[1:])
    return text


def parse_parentheses(string: str) -> list[str]:
    """A text cut at its outermost round brackets, which stay with what they hold."""
    parts: list[str] = []
    current, depth = "", 0
    for character in string:
        if character == "(" and depth == 0:
            parts, current = [*parts, current] if current else parts, ""
        current += character
        depth += (character == "(") - (character == ")" and depth > 0)
        if character == ")" and depth == 0 and current.startswith("("):
            parts, current = [*parts, current], ""
    return [*parts, current] if current else parts


def token_weights(string: str, current_weight: float) -> list[tuple[str, float]]:
    """The parts of a text with their weights: ``(words)`` counts 1.1 times, ``(words:1.3)`` exactly that."""
    weighted: list[tuple[str, float]] = []
    for part in parse_parentheses(string):
        if len(part) < 2 or not (part.startswith("(") and part.endswith(")")):
            weighted.append((part, current_weight))
            continue
        inner, weight = part[1:-1], current_weight * BRACKET_WEIGHT
        front, colon, number = inner.rpartition(":")
        if colon:
            try:
                inner, weight = front, float(number)
            except ValueError:
                inner = part[1:-1]
        weighted += token_weights(inner, weight)
    return weighted


def gen_empty_tokens(special_tokens: dict[str, int], length: int) -> list[int]:
    """The tokens of an empty prompt: start, end, padding."""
    tokens = [special_tokens[name] for name in ("start", "end") if special_tokens.get(name) is not None]
    return [*tokens, *[special_tokens.get("pad", 0)] * (length - len(tokens))][:length]


ClipTokenWeightEncoder = lacking_class("comfy.sd1_clip.ClipTokenWeightEncoder")
SD1CheckpointClipModel = lacking_class("comfy.sd1_clip.SD1CheckpointClipModel")
SD1ClipModel = lacking_class("comfy.sd1_clip.SD1ClipModel")
SD1Tokenizer = lacking_class("comfy.sd1_clip.SD1Tokenizer")
SDClipModel = lacking_class("comfy.sd1_clip.SDClipModel")
SDTokenizer = lacking_class("comfy.sd1_clip.SDTokenizer")
