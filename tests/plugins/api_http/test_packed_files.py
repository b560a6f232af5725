"""Compressed forms of files: made once, made anew for a new file, bounded, and done without where there is no room."""

from __future__ import annotations

import gzip
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from comfykernel_api_http import packed_files
from comfykernel_api_http.packed_files import PackedFiles, worth_packing

TEXT = b"a line of a script\n" * 400


def content(packed: PackedFiles, file: Path) -> bytes | None:
    opened = packed.opened(file)
    if opened is None:
        return None
    info, stream = opened
    with stream:
        data = stream.read()
    assert info.size == len(data)
    assert info.modified == file.stat().st_mtime
    return gzip.decompress(data)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    file = tmp_path / "a.js"
    file.write_bytes(TEXT)
    return file


def test_a_form_is_made_once_and_outlives_the_process(tmp_path: Path, script: Path) -> None:
    kept = tmp_path / "kept"
    assert content(PackedFiles(kept), script) == TEXT
    (made,) = kept.iterdir()
    before = made.stat()
    assert content(PackedFiles(kept), script) == TEXT
    after = made.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_changed_file_gets_a_new_form(tmp_path: Path, script: Path) -> None:
    packed = PackedFiles(tmp_path / "kept")
    assert content(packed, script) == TEXT
    script.write_bytes(TEXT.upper())
    os.utime(script, ns=(1, 1))
    assert content(packed, script) == TEXT.upper()


def test_small_files_are_left_as_they_are(tmp_path: Path) -> None:
    small = tmp_path / "small.js"
    small.write_text("1;")
    assert PackedFiles(tmp_path / "kept").opened(small) is None
    assert not (tmp_path / "kept").exists()


def test_the_oldest_forms_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "kept"
    packed = PackedFiles(kept)
    monkeypatch.setattr(packed_files, "KEPT_BYTES", 400)
    for number in range(20):
        file = tmp_path / f"{number}.js"
        file.write_bytes(TEXT)
        assert content(packed, file) == TEXT
    assert 0 < sum(form.stat().st_size for form in kept.iterdir()) <= 400


def test_many_are_made_at_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    packed = PackedFiles(tmp_path / "kept")
    files = [tmp_path / f"{number}.js" for number in range(60)]
    for file in files:
        file.write_bytes(TEXT)
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda file: content(packed, file), files)) == [TEXT] * len(files)
    assert caplog.text == ""
    assert len(list((tmp_path / "kept").iterdir())) == len(files)


def test_where_nothing_can_be_kept_files_go_out_plain(
    tmp_path: Path, script: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "kept").write_text("a file where the folder should be")
    packed = PackedFiles(tmp_path / "kept")
    assert packed.opened(script) is None
    assert packed.opened(script) is None
    assert caplog.text.count("can't be written") == 1


def test_texts_are_worth_it_and_pictures_are_not() -> None:
    assert worth_packing("text/javascript")
    assert worth_packing("application/json")
    assert worth_packing("image/svg+xml")
    assert not worth_packing("image/webp")
    assert not worth_packing("font/woff2")
