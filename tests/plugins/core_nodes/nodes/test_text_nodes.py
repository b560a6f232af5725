"""Texts: joining, comparing, patterns, formats and JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykernel_core_nodes.nodes.text import patterns, strings, structured
from comfykernel_core_nodes.nodes.text.text_files import indented
from comfykernel_sdk.errors import BadInput

FLAGS = {"case_insensitive": True, "multiline": False, "dotall": False}


@pytest.fixture
def run(node_run: Callable[..., Any]) -> Any:
    run = node_run()
    run.told = []
    run.context.text = run.told.append
    return run


@given(st.text(max_size=9), st.text(max_size=9), st.text(max_size=3))
def test_parts_and_joints(a: str, b: str, delimiter: str) -> None:
    joined = strings.string_concatenate(a, b, delimiter)
    assert strings.string_length(joined) == len(a) + len(delimiter) + len(b)
    assert strings.string_substring(joined, 0, len(a)) == a
    assert strings.string_compare(joined, a, "Starts With", True)
    assert strings.string_compare(joined, b, "Ends With", True)
    assert strings.string_contains(joined, delimiter, True)


def test_case_and_white_space() -> None:
    assert [strings.case_converter(" aB c", mode) for mode in strings.CASES] == [" AB C", " ab c", " ab c", " Ab C"]
    assert [strings.string_trim(" a ", mode) for mode in strings.TRIMS] == ["a", "a ", " a"]
    assert strings.string_replace("aaa", "a", "") == ""
    assert strings.string_contains("Straße", "STRASSE", False) is False
    assert strings.string_compare("Hello", "hELLO", "Equal", False)


@pytest.mark.parametrize(
    ("mode", "group", "want"),
    [
        ("First Match", 9, "a1"),
        ("All Matches", 9, "a\nb\nc"),
        ("First Group", 2, "1"),
        ("First Group", 0, "a1"),
        ("First Group", 3, ""),
        ("All Groups", 2, "1\n22\n333"),
        ("All Groups", 3, ""),
    ],
)
def test_extraction(run: Any, mode: str, group: int, want: str) -> None:
    found = run.node(
        "RegexExtract", string="a1 b22 c333", regex_pattern=r"([A-Z])(\d+)", mode=mode, group_index=group, **FLAGS
    )
    assert found == want


def test_a_group_that_took_no_part_is_empty(run: Any) -> None:
    found = run.node("RegexExtract", string="ab", regex_pattern="(x)?b", mode="All Groups", group_index=1, **FLAGS)
    assert found == ""


def test_flags(run: Any) -> None:
    def matches(pattern: str, **flags: bool) -> bool:
        return bool(run.node("RegexMatch", string="one\ntwo", regex_pattern=pattern, **{**FLAGS, **flags}))

    assert matches("ONE")
    assert not matches("ONE", case_insensitive=False)
    assert not matches("^two")
    assert matches("^two", multiline=True)
    assert not matches("one.two")
    assert matches("one.two", dotall=True)


def test_what_is_no_pattern_matches_nothing_and_says_why(run: Any) -> None:
    assert run.node("RegexMatch", string="a", regex_pattern="(", **FLAGS) is False
    assert run.node("RegexExtract", string="a", regex_pattern="[", mode="First Match", group_index=1, **FLAGS) == ""
    assert len(run.told) == 2
    assert "no regular expression" in run.told[0]
    with pytest.raises(BadInput, match="no regular expression"):
        patterns.regex_replace("a", "(", "b")


def test_patterns_of_exponential_cost_are_stopped(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "TIME_LIMIT_S", 0.05)
    text = "a" * 5000 + "!"
    with pytest.raises(BadInput) as error:
        patterns.regex_replace(text, r"((a|aa)+\b)+(?<=b)$", "")
    assert error.value.type == "slow_pattern"


def test_replacement() -> None:
    assert patterns.regex_replace("a1 B2", "([a-z])", r"<\1>") == "<a>1 <B>2"
    assert patterns.regex_replace("a1 B2", "[a-z]", "", case_insensitive=False) == "1 B2"
    assert patterns.regex_replace("111", "1", "2", count=2) == "221"
    with pytest.raises(BadInput, match="does not fit"):
        patterns.regex_replace("a", "a", r"\4")


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("{a}: {b:.2f}", "cat: 0.50"),
        ("{{a}} {a!r:>6}", "{a}  'cat'"),
        ("{c[1]}{c[0]}", "21"),
        ("plain", "plain"),
    ],
)
def test_format(text: str, want: str) -> None:
    assert structured.string_format(text, {"a": "cat", "b": 0.5, "c": [1, 2]}) == want


@pytest.mark.parametrize(
    "text", ["{d}", "{}", "{a", "{a.__class__}", "{c[0].real}", "{a:99999999}", "{b:.9999999}", "{a:d}"]
)
def test_formats_that_are_refused(text: str) -> None:
    with pytest.raises(BadInput) as error:
        structured.string_format(text, {"a": "cat", "b": 0.5, "c": [1]})
    assert error.value.type == "invalid_format"


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ('{"k": "v"}', "v"),
        ('Sure! ```json\n{"k": {"x": [1]}}\n```', "{'x': [1]}"),
        ('{no} {"k": 2} {"k": 3}', "2"),
        ('{"k": null}', ""),
        ('{"other": 1}', ""),
        ('["k"]', ""),
        ("", ""),
        ("{" * 3000, ""),
    ],
)
def test_value_of_a_json_object_in_a_text(text: str, want: str) -> None:
    assert structured.json_extract_string(text, "k") == want


def test_json_of_values() -> None:
    assert structured.convert_array_to_string([1, {"ä": None}], 0) == '[1, {"ä": null}]'
    assert structured.convert_dictionary_to_string({"a": 1}) == '{\n  "a": 1\n}'
    with pytest.raises(BadInput, match="can't be written as JSON"):
        structured.convert_array_to_string([object()])


def test_prompt_of_descriptions(run: Any) -> None:
    given = {
        "element": [],
        "high_level_description": "",
        "background": "sky",
        "aesthetics": "calm",
        "lighting": "",
        "medium": "",
    }
    plain = run.node("BuildJsonPromptIdeogram", **given, style="none")
    assert plain == {"compositional_deconstruction": {"background": "sky", "elements": []}}
    photo = run.node(
        "BuildJsonPromptIdeogram", **given, style="photo", **{"style.photo": "35mm"}, color_palette=["#fff"]
    )
    assert photo["style_description"]["photo"] == "35mm"
    assert photo["style_description"]["color_palette"] == ["#fff"]


def test_saved_texts(run: Any) -> None:
    result = run.node("SaveText", text='{"a":1}', filename_prefix="notes/a", format="json")
    assert result.values == ('{"a":1}',)
    assert result.ui["files"] == [{"filename": "a_00001_.json", "subfolder": "notes", "type": "output"}]
    assert (run.base / "output" / "notes" / "a_00001_.json").read_text() == '{\n  "a": 1\n}'
    again = run.node("SaveText", text="ä", filename_prefix="notes/a", format="txt")
    assert again.ui["files"][0]["filename"] == "a_00002_.txt"
    assert (run.base / "output" / "notes" / "a_00002_.txt").read_bytes() == "ä".encode()
    assert indented("{broken") == "{broken"
