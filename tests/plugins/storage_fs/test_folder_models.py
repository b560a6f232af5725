"""Model folders: the peer's names, lists that are kept, links, extra paths."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from comfykernel_sdk.errors import ConfigError
from comfykernel_sdk.settings import PathSettings, Settings
from comfykernel_storage_fs.directory_listing import DirectoryListing
from comfykernel_storage_fs.plugin import make_storage

if TYPE_CHECKING:
    from pathlib import Path

    from comfykernel_sdk.storage import ModelStore

FOLDERS = [
    "checkpoints",
    "configs",
    "loras",
    "vae",
    "text_encoders",
    "diffusion_models",
    "clip_vision",
    "style_models",
    "embeddings",
    "diffusers",
    "vae_approx",
    "controlnet",
    "gligen",
    "upscale_models",
    "custom_nodes",
    "hypernetworks",
    "photomaker",
    "classifiers",
    "model_patches",
    "audio_encoders",
]


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def store_in(base: Path, *extra: Path) -> ModelStore:
    paths = PathSettings(base=str(base), extra_model_paths=tuple(map(str, extra)))
    return make_storage(Settings(paths=paths)).models


def age(root: Path) -> None:
    """Make all directories an hour old, so that their times can be trusted."""
    past = time.time() - 3600
    for folder, _, _ in os.walk(root):
        os.utime(folder, (past, past))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the directories that are read."""
    paths: list[str] = []
    real = os.scandir

    def scandir(path: str) -> object:
        paths.append(path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return paths


def test_the_peers_folders_in_its_order(tmp_path: Path) -> None:
    models = store_in(tmp_path)
    assert models.folders() == FOLDERS
    assert models.roots("text_encoders")[:2] == [str(tmp_path / "models" / name) for name in ("text_encoders", "clip")]
    assert models.roots("custom_nodes") == [str(tmp_path / "custom_nodes")]
    assert models.extensions("loras") == {".ckpt", ".pt", ".pt2", ".bin", ".pth", ".safetensors", ".pkl", ".sft"}


def test_what_counts_as_a_model(tmp_path: Path) -> None:
    for name in ("configs/v1.yaml", "configs/v1.txt", "classifiers/none", "classifiers/x.pt", "diffusers/m/a.bin"):
        put(tmp_path / "models" / name)
    put(tmp_path / "models/vae/.git/x.pt")
    put(tmp_path / "output/checkpoints/saved.safetensors")
    models = store_in(tmp_path)
    assert {name: found for name in FOLDERS if (found := models.names(name))} == {
        "checkpoints": ["saved.safetensors"],
        "configs": ["v1.yaml"],
        "classifiers": ["none"],
    }


def test_only_changed_directories_are_read_again(tmp_path: Path, reads: list[str]) -> None:
    root = tmp_path / "models" / "loras"
    for name in ("a.pt", "one/b.pt", "two/c.pt"):
        put(root / name)
    age(root)
    reads.clear()
    models = store_in(tmp_path)
    assert models.names("loras") == ["a.pt", "one/b.pt", "two/c.pt"]
    assert sorted(reads) == [str(root), str(root / "one"), str(root / "two")]
    reads.clear()
    assert models.names("loras") == ["a.pt", "one/b.pt", "two/c.pt"]
    assert [file.size for file in models.files("loras")] == [0, 0, 0]
    assert reads == []
    put(root / "two" / "d.pt")
    assert models.names("loras") == ["a.pt", "one/b.pt", "two/c.pt", "two/d.pt"]
    assert reads == [str(root / "two")]
    (root / "one" / "b.pt").unlink()
    (root / "one").rmdir()
    assert models.names("loras") == ["a.pt", "two/c.pt", "two/d.pt"]


def test_a_directory_that_appears_or_goes_is_seen(tmp_path: Path) -> None:
    models = store_in(tmp_path)
    assert models.names("vae") == []
    file = put(tmp_path / "models" / "vae" / "a.pt")
    assert models.names("vae") == ["a.pt"]
    file.rename(tmp_path / "a.pt")
    file.parent.rmdir()
    assert models.names("vae") == []
    assert models.files("vae") == []


def test_links_are_followed_and_rings_are_not(tmp_path: Path) -> None:
    shared = put(tmp_path / "shared" / "m.pt").parent
    root = tmp_path / "models" / "loras"
    root.mkdir(parents=True)
    (root / "link").symlink_to(shared)
    (root / "again").symlink_to(shared)
    (root / "file.pt").symlink_to(shared / "m.pt")
    (root / "broken.pt").symlink_to(tmp_path / "nothing")
    (shared / "up").symlink_to(root)
    (shared / "self").symlink_to(shared)
    names = DirectoryListing(root).names()[0]
    assert {"file.pt", "link/m.pt", "again/m.pt"} <= set(names)
    assert "broken.pt" not in names
    assert not any("up/link" in name or "self" in name for name in names)
    models = store_in(tmp_path)
    assert models.path("loras", "link/m.pt").read_bytes() == b""
    assert models.path("loras", "link\\m.pt").is_file()


def test_a_name_wins_in_the_first_root(tmp_path: Path) -> None:
    put(tmp_path / "models/clip/a.pt")
    put(tmp_path / "models/clip/b.pt")
    put(tmp_path / "models/text_encoders/a.pt")
    models = store_in(tmp_path)
    assert [(file.name, file.folder_index) for file in models.files("text_encoders")] == [("a.pt", 0), ("b.pt", 1)]
    assert models.path("text_encoders", "a.pt") == tmp_path / "models/text_encoders/a.pt"


def test_extra_model_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARED_MODELS", str(tmp_path / "shared"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    put(tmp_path / "shared/sd/a.safetensors")
    put(tmp_path / "yaml/near/unet/u.gguf")
    put(tmp_path / "models/checkpoints/a.safetensors")
    yaml = put(tmp_path / "yaml/paths.yaml")
    yaml.write_text(
        """
        # a comment
        first:
            base_path: ${SHARED_MODELS}
            is_default: true
            checkpoints: sd
            loras: |
                loras

                lycoris/
        second:
            base_path: near
            unet: unet
            my_models: [own, /abs]
        third:
            clip: ~/clip
            custom_nodes: packs
        empty:
        """
    )
    models = store_in(tmp_path, yaml)
    assert models.roots("checkpoints")[0] == str(tmp_path / "shared/sd")
    assert models.path("checkpoints", "a.safetensors") == tmp_path / "shared/sd/a.safetensors"
    assert models.roots("loras")[:2] == [str(tmp_path / "shared/lycoris"), str(tmp_path / "shared/loras")]
    assert models.roots("diffusion_models")[-1] == str(tmp_path / "yaml/near/unet")
    assert models.roots("text_encoders")[-1] == str(tmp_path / "home/clip")
    assert models.roots("custom_nodes")[-1] == str(tmp_path / "yaml/packs")
    assert models.roots("my_models") == [str(tmp_path / "yaml/near/own"), "/abs"]
    assert models.folders() == [*FOLDERS, "my_models"]


def test_a_file_in_the_base_folder_is_read_unasked(tmp_path: Path) -> None:
    (tmp_path / "extra_model_paths.yaml").write_text("mine: {vae: more}")
    assert store_in(tmp_path).roots("vae")[-1] == str(tmp_path / "more")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "extra.yaml is wrong"),
        ("[1]", "named sections"),
        ("mine: text", "section mine is wrong"),
        ("mine: {base_path: [x]}", "section mine is wrong. base_path"),
        ("mine: {is_default: maybe}", "section mine is wrong. is_default"),
        ("mine: {loras: {a: b}}", "section mine is wrong. loras"),
        ("mine: {loras: [1]}", "section mine is wrong. loras"),
        ("a: !!python/object:os.system {}", "extra.yaml is wrong"),
    ],
)
def test_a_wrong_file_is_named_with_its_section(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "extra.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        store_in(tmp_path, tmp_path / "extra.yaml")
    assert caught.value.extra_info["file"] == str(tmp_path / "extra.yaml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml"):
        store_in(tmp_path, tmp_path / "gone.yaml")
