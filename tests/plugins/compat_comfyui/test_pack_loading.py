"""Where packs are found, and what becomes of those that fail."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest
from tests.plugins.compat_comfyui.conftest import LoadPacks

from comfykernel_compat_comfyui.loading.pack_sources import ENTRY_POINT_GROUP, find_sources
from comfykernel_compat_comfyui.shims import nodes


def write(folder: Path, name: str, code: str) -> None:
    (folder / "custom_nodes").mkdir(exist_ok=True)
    (folder / "custom_nodes" / name).write_text(code)


def test_packs_are_folders_and_files(load_packs: LoadPacks, tmp_path: Path) -> None:
    (tmp_path / "custom_nodes" / "__pycache__").mkdir()
    (tmp_path / "custom_nodes" / ".git").mkdir()
    (tmp_path / "custom_nodes" / "notes.txt").touch()
    loaded = load_packs("class_pack", "hyphen-pack", "single_file.py", "no_init", "legacy.disabled")
    assert list(loaded.packs) == ["class_pack", "hyphen-pack", "no_init", "single_file", "compat_comfyui"]
    assert loaded.nodes["Bigger"].spec.python_module == "custom_nodes.single_file"


def test_a_folder_with_a_hyphen_and_a_prestartup_script(load_packs: LoadPacks) -> None:
    loaded = load_packs("hyphen-pack")
    pack = loaded.packs["hyphen-pack"]
    assert sys.modules["custom_nodes.hyphen-pack"].STARTED == "started"
    assert pack.about["version"] == "3.1.4"
    assert pack.web_directory is not None
    assert Path(pack.web_directory).name == "browser"


def test_a_pack_names_its_folder_of_scripts(load_packs: LoadPacks) -> None:
    web = load_packs("class_pack").packs["class_pack"].web_directory
    assert web is not None
    assert (Path(web) / "class_pack.js").is_file()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def broken(:", "SyntaxError"),
        ("import a_module_of_nobody", "a_module_of_nobody"),
        ("raise SystemExit('no')", "SystemExit"),
        ("import custom_nodes.bad; custom_nodes.bad.NAME", "AttributeError"),
        ("x = 1", "NODE_CLASS_MAPPINGS"),
        ("from comfy.utils import nothing", "The node pack 'bad' asks for comfy.utils.nothing, which comfykernel"),
    ],
)
def test_a_pack_that_fails_leaves_the_others_alone(
    load_packs: LoadPacks, tmp_path: Path, code: str, reason: str
) -> None:
    write(tmp_path, "bad.py", code)
    loaded = load_packs("class_pack")
    assert reason in loaded.error("bad")
    assert loaded.packs["bad"].nodes == {}
    assert "Echo" in loaded.packs["class_pack"].nodes


def test_a_folder_without_init_says_what_to_do(load_packs: LoadPacks) -> None:
    assert "has no __init__.py" in load_packs("no_init").error("no_init")


def test_a_prestartup_script_that_fails_is_named(
    load_packs: LoadPacks, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "custom_nodes" / "early"
    folder.mkdir()
    (folder / "prestartup_script.py").write_text("raise ValueError('too early')")
    (folder / "__init__.py").write_text("NODE_CLASS_MAPPINGS = {}")
    assert load_packs().error("early") == ""
    assert "too early" in caplog.text


def test_the_same_name_twice_is_reported(load_packs: LoadPacks, tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.mkdir()
    (more / "single_file.py").write_text("NODE_CLASS_MAPPINGS = {}")
    from comfykernel_compat_comfyui.compat_settings import CompatSettings
    from comfykernel_compat_comfyui.loading.load_packs import import_packs

    load_packs("single_file.py")
    first, second = import_packs([tmp_path / "custom_nodes", more], CompatSettings(), on_import=lambda _: None)
    assert first.error == ""
    assert "is taken by the pack in" in second.error


def test_nodes_of_comfykernel_keep_their_names(load_packs: LoadPacks) -> None:
    pack = load_packs("single_file.py").packs["single_file"]
    assert pack.yields
    assert nodes.NODE_CLASS_MAPPINGS["EmptyImage"] is not nodes.NODE_CLASS_MAPPINGS["Bigger"]


def test_a_node_whose_declaration_fails_is_left_out(load_packs: LoadPacks, caplog: pytest.LogCaptureFixture) -> None:
    assert "Fails" not in load_packs("class_pack").nodes
    assert "the disk is gone" in caplog.text


def test_packs_see_those_that_came_before(load_packs: LoadPacks, tmp_path: Path) -> None:
    write(tmp_path, "zz_later.py", "import nodes\nassert 'Echo' in nodes.NODE_CLASS_MAPPINGS\nNODE_CLASS_MAPPINGS = {}")
    assert load_packs("class_pack").error("zz_later") == ""


def test_packs_import_each_other_by_name(load_packs: LoadPacks, tmp_path: Path) -> None:
    write(tmp_path, "zz_later.py", "from custom_nodes.class_pack.types import ANY\nNODE_CLASS_MAPPINGS = {}")
    assert load_packs("class_pack").error("zz_later") == ""


def test_all_may_be_switched_off_but_some(load_packs: LoadPacks) -> None:
    loaded = load_packs("class_pack", "single_file.py", disable_all=True, only=["single_file"])
    assert list(loaded.packs) == ["single_file", "compat_comfyui"]


def test_without_packs_nothing_is_imported(load_packs: LoadPacks) -> None:
    assert load_packs().packs == {}
    assert "folder_paths" not in sys.modules


def test_installed_packs_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, load_packs: LoadPacks) -> None:
    (tmp_path / "installed_pack.py").write_text("NODE_CLASS_MAPPINGS = {'Nothing': int}\nNODE_CLASS_MAPPINGS.clear()")
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = importlib.metadata.EntryPoint("installed", "installed_pack", ENTRY_POINT_GROUP)
    found = importlib.metadata.entry_points

    def entry_points(**selected: str) -> object:
        return [entry] if selected.get("group") == ENTRY_POINT_GROUP else found(**selected)

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    assert [source.name for source in find_sources([tmp_path / "custom_nodes"])] == ["installed"]
    assert load_packs().error("installed") == ""
