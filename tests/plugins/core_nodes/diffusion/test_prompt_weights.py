"""The grammar of prompt weights."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykernel_core_nodes.diffusion.prompt_weights import parse_prompt_weights


@pytest.mark.parametrize(
    ("prompt", "segments"),
    [
        ("", []),
        ("a photo of a cat", [("a photo of a cat", 1.0)]),
        ("(cat:1.2)", [("cat", 1.2)]),
        ("(cat)", [("cat", 1.1)]),
        ("(((cat)))", [("cat", 1.3310000000000004)]),
        ("((cat:1.2) dog:0.5)", [("cat", 1.2), (" dog", 0.5)]),
        ("(a (b (c)))", [("a ", 1.1), ("b ", 1.2100000000000002), ("c", 1.3310000000000004)]),
        ("[[cat]] (dog)", [("[[cat]] ", 1.0), ("dog", 1.1)]),
        ("(cat:1.2) (dog:0.8)", [("cat", 1.2), (" ", 1.0), ("dog", 0.8)]),
        ("(cat:abc)", [("cat:abc", 1.1)]),
        ("(:1.2)", [(":1.2", 1.1)]),
        ("(cat:1.2:1.3)", [("cat:1.2", 1.3)]),
        ("(cat", [("(cat", 1.0)]),
        ("cat)", [("cat)", 1.0)]),
        ("((cat)", [("(cat", 1.1)]),
        ("(cat))", [("cat", 1.1), (")", 1.0)]),
        ("a ) b ( c", [("a ) b ( c", 1.0)]),
        (r"\(cat\)", [("(cat)", 1.0)]),
        (r"(\(cat\):1.3)", [("(cat)", 1.3)]),
        ("(cat:-1)", [("cat", -1.0)]),
        ("(cat: 1.5 )", [("cat", 1.5)]),
        ("(cat:1e1)", [("cat", 10.0)]),
        ("()", []),
        ("a BREAK b", [("a BREAK b", 1.0)]),
        ("(embedding:one:1.3)", [("embedding:one", 1.3)]),
    ],
)
def test_segments(prompt: str, segments: list[tuple[str, float]]) -> None:
    assert [tuple(segment) for segment in parse_prompt_weights(prompt)] == segments


@given(st.text(st.characters(exclude_characters="()\\")))
def test_text_without_parentheses_stays_as_it_is(prompt: str) -> None:
    assert [tuple(segment) for segment in parse_prompt_weights(prompt)] == ([(prompt, 1.0)] if prompt else [])


@given(st.text("ab(): 1.\\", max_size=40))
def test_no_prompt_is_refused_and_no_word_is_lost(prompt: str) -> None:
    segments = parse_prompt_weights(prompt)
    assert all(segment.text for segment in segments)
    letters = [character for character in prompt if character in "ab"]
    assert [c for segment in segments for c in segment.text if c in "ab"] == letters


@given(st.integers(1, 12))
def test_weight_grows_by_a_tenth_per_pair(depth: int) -> None:
    ((text, weight),) = parse_prompt_weights("(" * depth + "cat" + ")" * depth)
    assert text == "cat"
    assert weight == pytest.approx(1.1**depth)
