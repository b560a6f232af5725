"""Users in folders: files that clients know, writers at once, damage."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from comfykernel_sdk.errors import ComfykernelError, Conflict, Forbidden, InvalidPath, NotFound
from comfykernel_storage_fs.users import FolderUserStore

if TYPE_CHECKING:
    from pathlib import Path


def store_in(base: Path, *, multi_user: bool = False) -> FolderUserStore:
    return FolderUserStore(base / "user", multi_user=multi_user, locks=base / "user" / "comfykernel")


def test_settings_are_a_file_of_the_user(tmp_path: Path) -> None:
    users = store_in(tmp_path)
    users.save_settings("default", {"a": "\u00e4"})
    assert json.loads((tmp_path / "user/default/comfy.settings.json").read_bytes()) == {"a": "\u00e4"}
    assert json.loads(users.read("default", "comfy.settings.json")) == {"a": "\u00e4"}
    assert [info.ref.filename for info in users.list("default", "", recursive=True)] == ["comfy.settings.json"]


def test_settings_saved_at_once_are_all_kept(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: store_in(tmp_path).save_settings("default", {f"k{n}": n}), range(20)))
    assert store_in(tmp_path).settings("default") == {f"k{n}": n for n in range(20)}


def test_damaged_settings_are_named_and_not_overwritten(tmp_path: Path) -> None:
    users = store_in(tmp_path)
    users.write("default", "comfy.settings.json", b'{"a": ')
    for ask in (lambda: users.settings("default"), lambda: users.save_settings("default", {"b": 1})):
        with pytest.raises(ComfykernelError, match=r"comfy\.settings\.json is damaged"):
            ask()
    assert users.read("default", "comfy.settings.json") == b'{"a": '


def test_users_of_the_peer_are_known(tmp_path: Path) -> None:
    users = store_in(tmp_path, multi_user=True)
    (tmp_path / "user").mkdir()
    (tmp_path / "user/users.json").write_text('{"ann_1": "Ann", "../x": "Evil"}')
    id = users.add_user("Bj\u00f6rn B./..")
    assert id.startswith("Bj-rn-B-_")
    assert json.loads((tmp_path / "user/users.json").read_bytes())[id] == "Bj\u00f6rn B./.."
    users.write("ann_1", "a", b"1")
    assert (tmp_path / "user/ann_1/a").read_bytes() == b"1"
    with pytest.raises(InvalidPath):
        users.write("../x", "a", b"1")
    with pytest.raises(NotFound):
        users.write("default", "a", b"1")


def test_users_made_at_once_have_names_of_their_own(tmp_path: Path) -> None:
    def add(_: int) -> bool:
        try:
            store_in(tmp_path, multi_user=True).add_user("Ann")
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(add, range(8))) == 1


def test_no_link_leads_to_another_user(tmp_path: Path) -> None:
    users = store_in(tmp_path)
    users.write("default", "a", b"1")
    (tmp_path / "secret").write_bytes(b"s")
    (tmp_path / "user/default/link").symlink_to(tmp_path / "secret")
    with pytest.raises(Forbidden):
        users.read("default", "link")
    assert [info.ref.filename for info in users.list("default", "")] == ["a"]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    users = store_in(tmp_path)
    users.write("default", "w/a", b"1")
    for ask in (users.read, users.delete, lambda user, path: users.move(user, path, "q")):
        with pytest.raises(NotFound):
            ask("default", "w")
    for path in ("w", "w/a/b", ""):
        with pytest.raises(InvalidPath):
            users.write("default", path, b"2")
    with pytest.raises(InvalidPath):
        users.move("default", "w/a", "w")
    assert users.read("default", "w/a") == b"1"
