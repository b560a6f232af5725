"""Nodes that join, cut, compare and change texts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Final

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_sdk.sockets import Choice, Int, Out, Text, Toggle

string_node = partial(
    extra_node("nodes_string"), category="utils/string", deprecated=False, experimental=False, api_node=False
)

LongText = Annotated[str, Text(multiline=True)]
CaseSensitive = Annotated[bool, Toggle(default=True)]


@string_node("StringConcatenate", display_name="Concatenate")
def string_concatenate(
    string_a: LongText, string_b: LongText, delimiter: Annotated[str, Text(default="", multiline=False)]
) -> str:
    """Join two texts with a delimiter between them."""
    return delimiter.join((string_a, string_b))


@string_node("StringSubstring", display_name="Substring")
def string_substring(string: LongText, start: Annotated[int, Int()], end: Annotated[int, Int()]) -> str:
    """Take the characters from ``start`` up to, but not including, ``end``; negative places count from the end."""
    return string[start:end]


@string_node("StringLength", display_name="Length")
def string_length(string: LongText) -> Annotated[int, Out("length")]:
    """Count the characters of a text."""
    return len(string)


CASES: Final[dict[str, Callable[[str], str]]] = {
    "UPPERCASE": str.upper, "lowercase": str.lower, "Capitalize": str.capitalize, "Title Case": str.title
}  # fmt: skip


@string_node("CaseConverter", display_name="Case Converter")
def case_converter(string: LongText, mode: Annotated[str, Choice(*CASES)]) -> str:
    """Change a text to capitals, to small letters, or to a capital at its start or at the start of each word."""
    return CASES[mode](string)


TRIMS: Final[dict[str, Callable[[str], str]]] = {"Both": str.strip, "Left": str.lstrip, "Right": str.rstrip}


@string_node("StringTrim", display_name="Trim")
def string_trim(string: LongText, mode: Annotated[str, Choice(*TRIMS)]) -> str:
    """Take the white space at the ends of a text away."""
    return TRIMS[mode](string)


@string_node("StringReplace", display_name="Replace")
def string_replace(string: LongText, find: LongText, replace: LongText) -> str:
    """Replace every occurrence of a text by another one."""
    return string.replace(find, replace)


@string_node("StringContains", display_name="Contains")
def string_contains(
    string: LongText, substring: LongText, case_sensitive: CaseSensitive
) -> Annotated[bool, Out("contains")]:
    """Tell whether a text holds another one."""
    if not case_sensitive:
        string, substring = string.lower(), substring.lower()
    return substring in string


COMPARISONS: Final[dict[str, Callable[[str, str], bool]]] = {
    "Starts With": str.startswith, "Ends With": str.endswith, "Equal": str.__eq__
}  # fmt: skip


@string_node("StringCompare", display_name="Compare")
def string_compare(
    string_a: LongText, string_b: LongText, mode: Annotated[str, Choice(*COMPARISONS)], case_sensitive: CaseSensitive
) -> bool:
    """Tell whether the first text starts with, ends with or equals the second."""
    if not case_sensitive:
        string_a, string_b = string_a.lower(), string_b.lower()
    return COMPARISONS[mode](string_a, string_b)
