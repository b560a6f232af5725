"""Nodes that search texts by regular expressions, in bounded time."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final

import regex

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.sockets import Choice, Int, Out, Text, Toggle

pattern_node = partial(
    extra_node("nodes_string"), category="utils/string", deprecated=False, experimental=False, api_node=False
)

TIME_LIMIT_S: Final = 10.0
"""Seconds that one search may take: some patterns need exponentially many steps, and nothing could interrupt them."""

LongText = Annotated[str, Text(multiline=True)]
CaseInsensitive = Annotated[bool, Toggle(default=True)]
Multiline = Annotated[bool, Toggle(default=False)]
DotAll = Annotated[bool, Toggle(default=False)]


def _flags(*, case_insensitive: bool, multiline: bool, dotall: bool) -> int:
    wanted = ((case_insensitive, regex.IGNORECASE), (multiline, regex.MULTILINE), (dotall, regex.DOTALL))
    return sum(int(flag) for on, flag in wanted if on)


def _compiled(pattern: str, flags: int) -> regex.Pattern[str]:
    try:
        return regex.compile(pattern, flags)
    except regex.error as error:
        raise BadInput(
            f"The pattern {pattern!r} is no regular expression: {error}.", type="invalid_pattern",
            hint="Write a backslash before characters that are meant literally: ( ) [ ] { } . * + ? ^ $ |",
        ) from error  # fmt: skip


def _too_slow(pattern: str) -> BadInput:
    return BadInput(
        f"The pattern {pattern!r} took longer than {TIME_LIMIT_S:g} s.", type="slow_pattern",
        hint="Avoid repetitions inside of repetitions, as in (a+)+.",
    )  # fmt: skip


def _tried(context: NodeContext, pattern: str, flags: int) -> regex.Pattern[str] | None:
    """The compiled pattern; ``None``, told at the node, where it is none: then it matches nothing."""
    try:
        return _compiled(pattern, flags)
    except BadInput as error:
        context.text(error.message)
        return None


@pattern_node("RegexMatch", display_name="Regex Match")
def regex_match(
    context: NodeContext,
    string: LongText,
    regex_pattern: LongText,
    case_insensitive: CaseInsensitive,
    multiline: Multiline,
    dotall: DotAll,
) -> Annotated[bool, Out("matches")]:
    """Tell whether a pattern occurs in a text. What is no pattern occurs nowhere.

    Raises:
        BadInput: the search takes too long.
    """
    flags = _flags(case_insensitive=case_insensitive, multiline=multiline, dotall=dotall)
    pattern = _tried(context, regex_pattern, flags)
    try:
        return pattern is not None and pattern.search(string, timeout=TIME_LIMIT_S) is not None
    except TimeoutError:
        raise _too_slow(regex_pattern) from None


@pattern_node("RegexExtract", display_name="Regex Extract")
def regex_extract(
    context: NodeContext,
    string: LongText,
    regex_pattern: LongText,
    mode: Annotated[str, Choice("First Match", "All Matches", "First Group", "All Groups")],
    case_insensitive: CaseInsensitive,
    multiline: Multiline,
    dotall: DotAll,
    group_index: Annotated[int, Int(default=1, min=0, max=100)],
) -> str:
    """Take what a pattern, or one of its groups, matches; several matches one a line; nothing gives an empty text.

    With groups in the pattern, All Matches takes the first of them.

    Raises:
        BadInput: the search takes too long.
    """
    flags = _flags(case_insensitive=case_insensitive, multiline=multiline, dotall=dotall)
    pattern = _tried(context, regex_pattern, flags)
    if pattern is None:
        return ""
    try:
        found = _matches(pattern, string, only_first=mode.startswith("First"))
    except TimeoutError:
        raise _too_slow(regex_pattern) from None
    group = {"First Match": 0, "All Matches": min(1, pattern.groups)}.get(mode, group_index)
    if group > pattern.groups or (mode == "All Groups" and pattern.groups == 0):
        return ""
    return "\n".join(match.group(group) or "" for match in found)


def _matches(pattern: regex.Pattern[str], string: str, *, only_first: bool) -> list[regex.Match[str]]:
    if not only_first:
        return list(pattern.finditer(string, timeout=TIME_LIMIT_S))
    match = pattern.search(string, timeout=TIME_LIMIT_S)
    return [] if match is None else [match]


@pattern_node("RegexReplace", display_name="Regex Replace")
def regex_replace(
    string: LongText,
    regex_pattern: LongText,
    replace: LongText,
    case_insensitive: CaseInsensitive = True,
    multiline: Multiline = False,
    dotall: DotAll = False,
    count: Annotated[int, Int(default=0, min=0, max=100)] = 0,
) -> str:
    r"""Replace what a pattern matches, the first ``count`` times, 0: every time; ``\1`` stands for the first group.

    Raises:
        BadInput: the pattern or the replacement makes no sense, or the search takes too long.
    """
    flags = _flags(case_insensitive=case_insensitive, multiline=multiline, dotall=dotall)
    pattern = _compiled(regex_pattern, flags)
    try:
        return pattern.sub(replace, string, count=count, timeout=TIME_LIMIT_S)
    except TimeoutError:
        raise _too_slow(regex_pattern) from None
    except (regex.error, IndexError) as error:
        raise BadInput(
            f"The replacement {replace!r} does not fit the pattern: {error}.", type="invalid_replacement",
            hint=f"The pattern has {pattern.groups} groups; write \\\\ for a backslash.",
        ) from error  # fmt: skip
