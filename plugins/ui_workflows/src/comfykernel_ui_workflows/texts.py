"""Texts as the editor sends them: comments and choices of prompts resolved, places in file names filled in."""

from __future__ import annotations

import re
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

COMMENT: Final = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
CHOICE_TOKEN: Final = re.compile(r"\\[{}|]|[{}|]|[^\\{}|]+|\\", re.DOTALL)
PLACE: Final = re.compile(r"%([^%\n]+)%")
DATE_TOKEN: Final = re.compile(r"yyyy|yy|M{1,2}|d{1,2}|h{1,2}|m{1,2}|s{1,2}")
NOT_IN_FILE_NAMES: Final = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')


def resolve_choices(text: str, random: Random) -> str:
    """A prompt without comments in which each ``{a|b|c}`` has become one of its choices.

    Choices nest; ``\\{``, ``\\|`` and ``\\}`` stand for the character itself; an open one ends with the text.
    """
    text = COMMENT.sub("", text)
    if "{" not in text and "\\" not in text:
        return text
    # Of each open brace: what stands before it, then its choices so far, all as pieces of text.
    open_choices: list[list[list[str]]] = []
    current: list[str] = []
    for token in CHOICE_TOKEN.findall(text):
        if token == "{":
            open_choices.append([current, []])
            current = open_choices[-1][-1]
        elif token == "|" and open_choices:
            current = []
            open_choices[-1].append(current)
        elif token == "}" and open_choices:
            current, *choices = open_choices.pop()
            current.append("".join(random.choice(choices)))
        else:
            current.append(token[1:] if len(token) == 2 and token[0] == "\\" and token[1] in "{|}" else token)
    while open_choices:
        current, *choices = open_choices.pop()
        current.append("".join(random.choice(choices)))
    return "".join(current)


def fill_places(text: str, now: datetime, widget_value: Callable[[str, str], str | None]) -> str:
    """A start of file names with its ``%date:yyyy-MM-dd%`` and ``%Node.widget%`` filled in.

    ``widget_value(node, widget)`` gives the value as a text, ``None`` for what is not in the workflow: that stays, like
    the places that the server knows (``%width%``).
    """

    def fill(match: re.Match[str]) -> str:
        name, dot, widget = match[1].rpartition(".")
        if match[1].startswith("date:"):
            return _date(match[1].removeprefix("date:"), now)
        value = widget_value(name, widget) if dot else None
        return match[0] if value is None else NOT_IN_FILE_NAMES.sub("_", value)

    return PLACE.sub(fill, text)


def _date(pattern: str, now: datetime) -> str:
    parts = {"M": now.month, "d": now.day, "h": now.hour, "m": now.minute, "s": now.second}

    def part(match: re.Match[str]) -> str:
        token = match[0]
        if token[0] == "y":
            return f"{now.year:04}"[-len(token) :]
        return f"{parts[token[0]]:0{len(token)}}"

    return DATE_TOKEN.sub(part, pattern)
