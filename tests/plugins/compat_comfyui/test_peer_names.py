"""The names that packs import: there while packs run, and clear about what is missing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from comfykernel_compat_comfyui import missing_names, peer_names
from comfykernel_compat_comfyui.lacking_names import LACKING
from comfykernel_compat_comfyui.missing_names import NotProvided


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    peer_names.install()
    yield
    peer_names.uninstall()
    missing_names.pack_folders.clear()


def test_a_name_gives_the_one_module_behind_it() -> None:
    utils = importlib.import_module("comfy.utils")
    assert utils is importlib.import_module("comfykernel_compat_comfyui.shims.comfy.utils")
    import comfy

    assert comfy.utils is utils
    assert comfy.model_management.cpu_mode() in (True, False)


def test_what_a_pack_patches_everybody_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    sample = importlib.import_module("comfy.sample")
    from comfykernel_compat_comfyui.shims.comfy import sample as own

    monkeypatch.setattr(sample, "sample", "patched")
    assert own.sample == "patched"  # type: ignore[comparison-overlap]


def test_names_are_gone_when_packs_are() -> None:
    import folder_paths

    assert folder_paths.supported_pt_extensions
    peer_names.uninstall()
    assert "folder_paths" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("folder_paths")


def test_names_that_are_missing_are_told_with_the_pack(tmp_path: Path) -> None:
    missing_names.pack_folders[str(tmp_path)] = "my-pack"
    (tmp_path / "asks.py").write_text("import comfy.utils\ncomfy.utils.no_such_name")
    code = compile((tmp_path / "asks.py").read_text(), str(tmp_path / "asks.py"), "exec")
    with pytest.raises(AttributeError, match=r"The node pack 'my-pack' asks for comfy.utils.no_such_name"):
        exec(code, {})  # a pack's own frame has to be on the stack
    assert not hasattr(importlib.import_module("comfy.utils"), "no_such_name")
    with pytest.raises(ModuleNotFoundError, match=r"comfy.no_such_module, which comfykernel does not provide"):
        importlib.import_module("comfy.no_such_module")


@pytest.mark.parametrize("module", sorted(LACKING))
def test_names_without_meaning_can_be_imported(module: str) -> None:
    found = importlib.import_module(module)
    for name in LACKING[module].split():
        assert hasattr(found, name)


def test_names_without_meaning_say_so_when_they_are_used() -> None:
    from comfy.gligen import Gligen, load_gligen

    class Mine(Gligen):  # type: ignore[misc]
        pass

    assert not isinstance(object(), Gligen)
    for call in (Gligen, Mine, load_gligen):
        with pytest.raises(NotProvided, match=r"comfy\.gligen"):
            call()


def test_nodes_are_found_in_the_modules_that_packs_know() -> None:
    import nodes

    from comfykernel_compat_comfyui.loading.other_nodes import other_definitions
    from comfykernel_sdk.settings import Settings

    nodes.NODE_CLASS_MAPPINGS.offer(other_definitions(Settings(), None))
    from comfy_extras.nodes_images import ImageInvert

    assert ImageInvert.RETURN_TYPES == ("IMAGE",)
    assert nodes.ImageInvert is ImageInvert
    with pytest.raises(AttributeError, match="NoSuchNode"):
        importlib.import_module("comfy_extras.nodes_x").NoSuchNode  # noqa: B018
