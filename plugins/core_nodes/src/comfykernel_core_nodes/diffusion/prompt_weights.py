"""Prompt weights: `(text)`, `(text:1.2)`, nesting and escapes, split into segments of one weight each.

`(text)` multiplies the weight by 1.1; `(text:w)` sets it to w; brackets do nothing; `\\(` and `\\)` are literal.
An opening parenthesis that is never closed is text.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

# Factor of a pair of parentheses without a number.
EMPHASIS = 1.1

# Private-use characters that stand for escaped parentheses while the text is split.
_ESCAPED_OPEN, _ESCAPED_CLOSE = "\ue000", "\ue001"
_NUMBER = re.compile(r"\s*[+-]?(\d+(_?\d+)*(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*")


class Segment(NamedTuple):
    """A piece of a prompt and its weight."""

    text: str
    weight: float


def parse_prompt_weights(prompt: str) -> list[Segment]:
    """Split a prompt into segments; those without text are left out."""
    text = prompt.replace("\\)", _ESCAPED_CLOSE).replace("\\(", _ESCAPED_OPEN)
    return [
        Segment(segment.text.replace(_ESCAPED_CLOSE, ")").replace(_ESCAPED_OPEN, "("), segment.weight)
        for segment in _weighted(text, 1.0)
    ]


def literal_text(prompt: str) -> str:
    """The prompt as text whose parentheses do not weigh: only escapes are resolved."""
    return prompt.replace("\\)", ")").replace("\\(", "(")


def _weighted(text: str, weight: float) -> list[Segment]:
    segments: list[Segment] = []
    for group in _groups(text):
        if len(group) < 2 or group[0] != "(" or group[-1] != ")":
            segments.append(Segment(group, weight))
            continue
        inner, inner_weight = group[1:-1], weight * EMPHASIS
        head, colon, number = inner.rpartition(":")
        if colon and head and _NUMBER.fullmatch(number) and math.isfinite(float(number)):
            inner, inner_weight = head, float(number)
        segments.extend(_weighted(inner, inner_weight))
    return segments


def _groups(text: str) -> list[str]:
    """Text at the top level, and parenthesised groups with their parentheses; what is left open is text.

    A closing parenthesis too many makes the next opening one text as well: prompts in use rely on that.
    """
    groups: list[str] = []
    start = depth = 0
    for i, character in enumerate(text):
        if character == "(":
            if depth == 0:
                groups.append(text[start:i])
                start = i
            depth += 1
        elif character == ")":
            depth -= 1
            if depth == 0:
                groups.append(text[start : i + 1])
                start = i + 1
    groups.append(text[start:])
    return [group for group in groups if group]
