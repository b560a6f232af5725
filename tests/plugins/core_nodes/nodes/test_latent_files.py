"""Latents in files and in tiles: what is saved comes back, files of others, and bad ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from comfykernel_core_nodes.nodes.latent.files import check_latent_exists, latent_hash
from comfykernel_core_nodes.nodes.latent.pixels import PixelCodec
from comfykernel_sdk.errors import ModelFileError, NotFound


@pytest.fixture
def run(node_run: Callable[..., Any]) -> Any:
    return node_run()


def test_saved_latents_come_back(run: Any) -> None:
    samples = torch.randn(2, 4, 3, 5).transpose(2, 3)
    result = run.node(
        "SaveLatent", samples={"samples": samples}, filename_prefix="latents/mine", prompt={"1": {}},
        extra_pnginfo={"workflow": {"nodes": []}},
    )  # fmt: skip
    (shown,) = result.ui["latents"]
    assert shown == {"filename": "mine_00001_.latent", "subfolder": "latents", "type": "output"}
    path = run.base / "output/latents/mine_00001_.latent"
    with safe_open(path, "pt") as file:
        assert {name: json.loads(text) for name, text in file.metadata().items()} == {
            "prompt": {"1": {}}, "workflow": {"nodes": []}
        }  # fmt: skip
    path.rename(run.base / "input/mine.latent")
    assert torch.equal(run.node("LoadLatent", latent="mine.latent")["samples"], samples)


def test_older_files_are_in_the_scale_of_the_model(run: Any) -> None:
    save_file({"latent_tensor": torch.full((1, 4, 2, 2), 0.18215).half()}, run.base / "input/old.latent")
    loaded = run.node("LoadLatent", latent="old.latent")["samples"]
    assert loaded.dtype == torch.float32
    assert torch.allclose(loaded, torch.ones(1, 4, 2, 2), atol=1e-3)


def test_files_that_hold_no_latent_are_named(run: Any) -> None:
    save_file({"weight": torch.zeros(1)}, run.base / "input/other.latent")
    (run.base / "input/cut.latent").write_bytes(b"\x10")
    with pytest.raises(ModelFileError, match=r"other\.latent: holds no latent.*weight"):
        run.node("LoadLatent", latent="other.latent")
    with pytest.raises(ModelFileError, match=r"cut\.latent"):
        run.node("LoadLatent", latent="cut.latent")
    with pytest.raises(NotFound):
        run.node("LoadLatent", latent="nothing.latent")


def test_a_changed_file_is_read_again(run: Any) -> None:
    path = run.base / "input/a.latent"
    save_file({"latent_tensor": torch.zeros(1)}, path)
    before = run.within(latent_hash, latent="a.latent")
    save_file({"latent_tensor": torch.ones(1)}, path)
    assert run.within(latent_hash, latent="a.latent") != before
    assert run.within(check_latent_exists, latent="a.latent") is True
    assert run.within(check_latent_exists, latent="b.latent") == "Invalid latent file: b.latent"


TIME = {"temporal_size": 64, "temporal_overlap": 8}


def test_tiles_give_what_the_whole_gives(run: Any, tiny_checkpoint: Path) -> None:
    (run.base / "models/checkpoints/tiny.safetensors").symlink_to(tiny_checkpoint)
    vae = run.node("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")[2]
    samples, pixels = {"samples": torch.randn(1, 4, 8, 8)}, torch.rand(1, 64, 64, 3)
    large = {"tile_size": 128, "overlap": 0, **TIME}
    decoded, encoded = (
        run.node("VAEDecodeTiled", samples=samples, vae=vae, **large),
        run.node("VAEEncodeTiled", pixels=pixels, vae=vae, **large)["samples"],
    )
    assert torch.allclose(decoded, vae.decode(samples["samples"]), atol=1e-5)
    assert torch.allclose(encoded, vae.encode(pixels), atol=1e-4)


@pytest.mark.parametrize(("size", "overlap"), [(64, 64), (64, 4096), (96, 0)])
def test_any_overlap_goes_with_any_tile(run: Any, tiny_checkpoint: Path, size: int, overlap: int) -> None:
    (run.base / "models/checkpoints/tiny.safetensors").symlink_to(tiny_checkpoint)
    vae = run.node("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")[2]
    tiles = {"tile_size": size, "overlap": overlap, **TIME}
    decoded = run.node("VAEDecodeTiled", samples={"samples": torch.randn(1, 4, 12, 11)}, vae=vae, **tiles)
    assert tuple(decoded.shape) == (1, 96, 88, 3)
    assert torch.isfinite(decoded).all()
    encoded = run.node("VAEEncodeTiled", pixels=torch.rand(1, 72, 96, 3), vae=vae, **tiles)
    assert tuple(encoded["samples"].shape) == (1, 4, 9, 12)


def test_a_vae_of_pixels_needs_no_tiles(run: Any) -> None:
    pixels = torch.rand(1, 5, 7, 3)
    tiles = {"tile_size": 64, "overlap": 64, **TIME}
    encoded = run.node("VAEEncodeTiled", pixels=pixels, vae=PixelCodec(), **tiles)
    assert torch.allclose(run.node("VAEDecodeTiled", samples=encoded, vae=PixelCodec(), **tiles), pixels, atol=1e-6)
