"""``folder_paths`` and files of tensors, as packs use them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from comfykernel_compat_comfyui.loading.folders import added_folders, make_folders, use_folders
from comfykernel_compat_comfyui.shims import folder_paths
from comfykernel_compat_comfyui.shims.comfy import utils
from comfykernel_sdk.settings import Settings
from comfykernel_sdk.testing import MemoryStorage


@pytest.fixture(autouse=True)
def base(tmp_path: Path) -> Iterator[Path]:
    settings = Settings()
    settings.paths.base = str(tmp_path)
    use_folders(settings, MemoryStorage())
    make_folders()
    yield tmp_path
    use_folders(Settings(), None)


def test_folders_are_those_of_the_settings(base: Path) -> None:
    assert folder_paths.base_path == str(base)
    assert folder_paths.get_output_directory() == str(base / "output")
    assert folder_paths.get_directory_by_type("temp") == str(base / "temp")
    assert folder_paths.get_directory_by_type("nowhere") is None
    assert Path(folder_paths.__file__).parent == base


def test_packs_add_folders_of_models(base: Path) -> None:
    (base / "mine" / "sub").mkdir(parents=True)
    (base / "mine" / "sub" / "a.safetensors").touch()
    (base / "mine" / "b.txt").touch()
    folder_paths.folder_names_and_paths["mine"] = ([str(base / "mine")], folder_paths.supported_pt_extensions)
    assert folder_paths.get_filename_list("mine") == ["sub/a.safetensors"]
    assert folder_paths.get_full_path("mine", "sub/a.safetensors") == str(base / "mine/sub/a.safetensors")
    assert folder_paths.get_full_path("mine", "../../etc/passwd") is None
    with pytest.raises(FileNotFoundError, match=r"no\.pt"):
        folder_paths.get_full_path_or_raise("mine", "no.pt")
    folder_paths.add_model_folder_path("mine", str(base / "first"), is_default=True)
    assert folder_paths.get_folder_paths("mine") == [str(base / "first"), str(base / "mine")]
    assert added_folders(MemoryStorage())["mine"] == [str(base / "first"), str(base / "mine")]


@pytest.mark.parametrize(
    ("name", "folder", "file"),
    [("a.png", "input", "a.png"), ("a.png [output]", "output", "a.png"), ("sub/a.png [temp]", "temp", "sub/a.png")],
)
def test_names_may_tell_their_folder(base: Path, name: str, folder: str, file: str) -> None:
    assert folder_paths.get_annotated_filepath(name) == str(base / folder / file)
    (base / folder / file).parent.mkdir(exist_ok=True)
    assert not folder_paths.exists_annotated_filepath(name)
    (base / folder / file).touch()
    assert folder_paths.exists_annotated_filepath(name)


def test_names_stay_in_their_folder() -> None:
    with pytest.raises(ValueError, match="leads out"):
        folder_paths.get_annotated_filepath("../secret.txt")


def test_numbers_of_files_go_on(base: Path) -> None:
    place = folder_paths.get_save_image_path("sub/%width%x", folder_paths.get_output_directory(), 64, 32)
    assert place == (str(base / "output" / "sub"), "64x", 1, "sub", "sub/64x")
    (base / "output" / "sub" / "64x_00007_.png").touch()
    assert folder_paths.get_save_image_path("sub/64x", folder_paths.get_output_directory())[2] == 8
    with pytest.raises(ValueError, match="leads out"):
        folder_paths.get_save_image_path("../x", folder_paths.get_output_directory())


def test_kinds_of_files() -> None:
    names = ["a.png", "b.mp3", "c.webp", "d.txt"]
    assert folder_paths.filter_files_content_types(names, ["image"]) == ["a.png", "c.webp"]


def test_files_of_tensors(tmp_path: Path) -> None:
    tensors = {"a.weight": torch.arange(4.0).reshape(2, 2)}
    file = str(tmp_path / "x.safetensors")
    utils.save_torch_file(tensors, file, metadata={"k": "v"})
    loaded, metadata = utils.load_torch_file(file, return_metadata=True)
    assert torch.equal(loaded["a.weight"], tensors["a.weight"])
    assert metadata == {"k": "v"}
    assert b"a.weight" in (utils.safetensors_header(file) or b"")
    torch.save({"state_dict": tensors}, tmp_path / "x.pt")
    assert torch.equal(utils.load_torch_file(str(tmp_path / "x.pt"))["a.weight"], tensors["a.weight"])
