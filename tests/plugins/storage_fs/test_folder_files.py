"""Files in folders: counters, several writers, links, what a failed write leaves."""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykernel_sdk.errors import ConfigError, Forbidden, InvalidPath, NotFound, Unavailable
from comfykernel_sdk.settings import PathSettings, Settings
from comfykernel_sdk.storage import FileRef
from comfykernel_storage_fs.files import FolderFileStore
from comfykernel_storage_fs.numbering import fill_tokens, next_counter
from comfykernel_storage_fs.plugin import make_storage

if TYPE_CHECKING:
    from pathlib import Path


def store_in(base: Path) -> FolderFileStore:
    return FolderFileStore({"input": base / "input", "output": base / "output", "temp": base / "temp"})


@pytest.fixture
def files(tmp_path: Path) -> FolderFileStore:
    return store_in(tmp_path)


def save_many(base: Path, worker: int, count: int) -> list[str]:
    """Save files as a worker does: batches of two under one prefix."""
    files = store_in(base)
    names: list[str] = []
    for _ in range(count // 2):
        place = files.numbered("img", "output")
        names += [files.write_numbered(place, ".png", b"%d" % worker, offset=i).filename for i in range(2)]
    return names


def test_writers_in_several_processes_never_share_a_name(tmp_path: Path) -> None:
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(save_many, tmp_path, worker, 40) for worker in range(3)]
        names = [name for future in futures for name in future.result(timeout=60)]
    assert len(set(names)) == 120
    assert sorted(os.listdir(tmp_path / "output")) == sorted(names)
    for worker, future in enumerate(futures):
        assert {(tmp_path / "output" / name).read_bytes() for name in future.result()} == {b"%d" % worker}


def test_uploads_at_once_get_a_name_each(files: FolderFileStore) -> None:
    def upload(number: int) -> str:
        return files.write(FileRef("a.png", "", "input"), b"%d" % number, overwrite=False).filename

    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(upload, range(24)))
    assert set(names) == {"a.png", *(f"a ({number}).png" for number in range(1, 24))}


def test_where_there_are_no_hard_links(files: FolderFileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, destination: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    refs = [files.write(FileRef("a.png"), data, overwrite=False) for data in (b"1", b"2", b"2")]
    assert [ref.filename for ref in refs] == ["a.png", "a (1).png", "a (1).png"]
    assert files.local_path(FileRef("a.png")).read_bytes() == b"1"


@given(st.lists(st.integers(0, 10**7), max_size=20), st.sampled_from(["a", "a_1", "A+(x)", "\u732b", ""]))
def test_the_counter_is_the_highest_plus_one(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], name: str
) -> None:
    folder = tmp_path_factory.mktemp("counters")
    for number in numbers:
        (folder / f"{name}_{number:05}_.png").touch()
        (folder / f"x{name}_{number + 10**8}_.png").touch()
    assert next_counter(folder, name) == max(numbers, default=0) + 1


@given(st.text(max_size=40))
def test_every_prefix_can_be_saved_or_is_refused(tmp_path_factory: pytest.TempPathFactory, prefix: str) -> None:
    base = tmp_path_factory.mktemp("prefixes")
    files = store_in(base)
    try:
        ref = files.write_numbered(files.numbered(prefix, "output"), ".png", b"1")
    except InvalidPath:
        assert not any(each.is_file() for each in base.rglob("*"))
        return
    assert files.local_path(ref).is_relative_to(base / "output")
    assert [info.ref for info in files.list("output", recursive=True)] == [ref]


def test_times_in_a_prefix_have_two_digits() -> None:
    now = datetime(2031, 2, 3, 4, 5, 6)
    tokens = "%year%-%month%-%day% %hour%:%minute%:%second% %width% %other%"
    assert fill_tokens(tokens, width=7, height=8, now=now) == "2031-02-03 04:05:06 7 %other%"


def test_a_link_that_leads_outside_is_not_followed(files: FolderFileStore, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("s")
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "link.txt").symlink_to(secret)
    (tmp_path / "output" / "folder").symlink_to(tmp_path)
    for ref in (FileRef("link.txt"), FileRef("secret.txt", "folder")):
        for ask in (files.open, files.local_path, files.delete, lambda ref: files.write(ref, b"x")):
            with pytest.raises(Forbidden):
                ask(ref)
    assert list(files.list("output", recursive=True)) == []
    assert secret.read_text() == "s"


def test_a_write_that_fails_leaves_nothing(files: FolderFileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write(FileRef("a.png"), b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Unavailable, match="No space left"):
        files.write(FileRef("a.png"), b"new")
    with pytest.raises(Unavailable, match="No space left"):
        files.write_numbered(files.numbered("b", "output"), ".png", b"new")
    folder = files.local_path(FileRef("a.png")).parent
    assert [(each.name, each.read_bytes()) for each in folder.iterdir()] == [("a.png", b"old")]


def test_folders_and_files_in_the_way(files: FolderFileStore) -> None:
    files.write(FileRef("a.png", "taken.png"), b"")
    for ref in (FileRef("taken.png"), FileRef("x.png", "taken.png/a.png")):
        with pytest.raises(InvalidPath):
            files.write(ref, b"1")
    with pytest.raises(InvalidPath):
        files.numbered("taken.png/a.png/x", "output")
    with pytest.raises(NotFound):
        files.open(FileRef("taken.png"))


def test_the_newest_file_comes_first(files: FolderFileStore) -> None:
    for age, name in enumerate(["new", "middle", "old"]):
        path = files.local_path(files.write(FileRef(name, "", "input"), b""))
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    assert [info.ref.filename for info in files.list("input")] == ["new", "middle", "old"]


def test_names_that_are_no_text_are_not_listed(files: FolderFileStore, tmp_path: Path) -> None:
    files.write(FileRef("ideographic\u3000space.png"), b"")
    with open(os.fsencode(tmp_path / "output") + b"/bad\xff.png", "wb"):
        pass
    assert [info.ref.filename for info in files.list("output")] == ["ideographic\u3000space.png"]


def test_a_temp_folder_of_somebody_else_is_not_emptied(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "x").touch()
    settings = Settings(paths=PathSettings(base=str(tmp_path), temp=str(tmp_path / "theirs")))
    make_storage(settings).files.clear_temporary()
    assert (tmp_path / "theirs" / "x").exists()
    assert "not emptied" in caplog.text


def test_a_temp_folder_that_we_made_is_emptied(tmp_path: Path) -> None:
    files = make_storage(Settings(paths=PathSettings(base=str(tmp_path), temp=str(tmp_path / "scratch")))).files
    (tmp_path / "keep").touch()
    path = files.local_path(files.write(FileRef("a", "s", "temp"), b""))
    (path.parent / "link").symlink_to(tmp_path / "keep")
    for _ in range(2):
        files.clear_temporary()
        assert not path.parent.exists()
        assert (tmp_path / "keep").exists()
        files.write(FileRef("a", "s", "temp"), b"")


@pytest.mark.parametrize("temp", [".", "output", "output/.."])
def test_a_temp_folder_that_holds_another_is_refused(tmp_path: Path, temp: str) -> None:
    settings = Settings(paths=PathSettings(base=str(tmp_path), temp=str(tmp_path / temp)))
    with pytest.raises(ConfigError, match="temp folder"):
        make_storage(settings)
