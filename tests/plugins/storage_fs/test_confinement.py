"""No text from outside makes a path outside."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykernel_sdk.errors import Forbidden, InvalidPath
from comfykernel_sdk.file_names import NAME_BYTES, check_name, is_text, split_path
from comfykernel_storage_fs.confinement import inside

PARTS = st.sampled_from(
    ["..", ".", "", "a", "b.png", "...", "\u2025", "\uff0e\uff0e", "\uff0f", "a\uff0f..", "con", "nul.txt", "C:", "~"]
)
PATHS = st.lists(PARTS | st.text(max_size=8), max_size=6).flatmap(
    lambda parts: st.sampled_from(["/", "\\"]).map(lambda separator: separator.join(parts))
)


@given(PATHS)
def test_a_path_is_refused_or_stays_inside(path: str) -> None:
    root = Path("/nowhere/root")
    try:
        parts = split_path(path)
    except InvalidPath:
        return
    assert root.joinpath(*parts).resolve() == inside(root, parts)
    assert all(part not in ("", ".", "..") and "/" not in part and "\\" not in part for part in parts)
    assert split_path("/".join(parts)) == parts


@given(st.text(max_size=300))
def test_a_name_is_refused_or_kept(name: str) -> None:
    try:
        assert check_name(name) == name
    except InvalidPath:
        return
    assert 0 < len(name.encode()) <= NAME_BYTES
    assert Path("/x", name).name == name
    assert is_text(name)


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters="/\\"), min_size=1, max_size=60))
def test_usual_names_are_taken(name: str) -> None:
    assert check_name(f"x{name}.png") == f"x{name}.png"


def test_dots_that_stay_inside_are_resolved() -> None:
    assert split_path("a/../b/./c//d.png") == ["b", "c", "d.png"]
    assert split_path("sub\\d.png") == ["sub", "d.png"]
    assert split_path("") == split_path("a/..") == []


def test_long_paths_are_refused() -> None:
    assert check_name("x" * NAME_BYTES)
    for path in ("x" * (NAME_BYTES + 1), "\u732b" * 100, "/".join(["x" * 200] * 6)):
        with pytest.raises(InvalidPath, match="too long"):
            split_path(path)


@pytest.mark.parametrize("name", ["con", "NUL.txt", "com1", "lpt9.png", "aux ", "a:b", "a.", "a ", "what?"])
def test_names_that_windows_reads_otherwise(name: str) -> None:
    assert check_name(name, windows=False) == name
    with pytest.raises(InvalidPath, match="Windows"):
        check_name(name, windows=True)
    assert check_name("control.png", windows=True) == "control.png"


def test_links_may_lead_anywhere_inside(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "real").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (root / "in").symlink_to(root / "real")
    (root / "out").symlink_to(tmp_path / "other")
    (root / "ring").symlink_to(root / "ring")
    (tmp_path / "rooted").symlink_to(root)
    assert inside(root, ["in", "new.png"]) == root / "real" / "new.png"
    assert inside(tmp_path / "rooted", ["new.png"]) == root / "new.png"
    with pytest.raises(Forbidden, match="link"):
        inside(root, ["out", "new.png"])
    with pytest.raises(InvalidPath, match="followed"):
        inside(root, ["ring", "new.png"])
