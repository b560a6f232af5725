"""Suggestions for words that are almost right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``"Did you mean 'port'?"`` with the known word nearest to ``word``, or ``""`` when none is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"Did you mean {near[0]!r}?" if near else ""


def known_or_near(word: str, known: Iterable[str], *, what: str) -> str:
    """A hint for an unknown word: the near miss first, then everything there is."""
    words = sorted(known)
    listed = f"{what}: {', '.join(words)}." if words else f"{what}: none."
    return " ".join(part for part in (did_you_mean(word, words), listed) if part)
