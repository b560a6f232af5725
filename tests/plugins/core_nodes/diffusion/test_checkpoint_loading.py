"""Checkpoints as handles: detection, lazy reading, parts, and shared weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from comfykernel_core_nodes.diffusion.checkpoints import load_checkpoint, load_vae
from comfykernel_core_nodes.diffusion.errors import CheckpointError, LatentShapeError
from comfykernel_core_nodes.diffusion.memory import ModelMemory
from comfykernel_core_nodes.diffusion.parametrisation import Epsilon, Velocity


def test_opening_reads_no_weights(checkpoint_file: Path, memory: ModelMemory) -> None:
    checkpoint = load_checkpoint(checkpoint_file)
    assert memory.loaded_bytes() == 0
    assert "tensors" not in vars(checkpoint.model.weights.source)
    assert checkpoint.model.latent_format.scale == 0.18215
    assert isinstance(checkpoint.model.sampling.parametrisation, Epsilon)


def test_codec_takes_images_to_latents_and_back(checkpoint_file: Path) -> None:
    vae = load_checkpoint(checkpoint_file).vae
    assert vae is not None
    latent = vae.encode(torch.rand(2, 37, 45, 4, generator=torch.Generator().manual_seed(0)))
    assert latent.shape == (2, 4, 4, 5)
    images = vae.decode(latent)
    assert images.shape == (2, 32, 40, 3)
    assert 0.0 <= float(images.min()) <= float(images.max()) <= 1.0


def test_codec_refuses_what_it_cannot_take(checkpoint_file: Path) -> None:
    vae = load_vae(checkpoint_file)
    with pytest.raises(LatentShapeError, match="too small"):
        vae.encode(torch.zeros(1, 7, 64, 3))
    with pytest.raises(LatentShapeError, match=r"\[batch, height, width, 3\]"):
        vae.encode(torch.zeros(1, 64, 64, 1))
    with pytest.raises(LatentShapeError, match=r"\[batch, 4, height, width\]"):
        vae.decode(torch.zeros(1, 16, 8, 8))


def test_autoencoder_alone_in_its_file(checkpoint_file: Path, tmp_path: Path) -> None:
    tensors = {
        name.removeprefix("first_stage_model."): tensor
        for name, tensor in load_file(checkpoint_file).items()
        if name.startswith("first_stage_model.")
    }
    save_file(tensors, tmp_path / "vae.safetensors")
    latent = torch.ones(1, 4, 2, 2)
    assert torch.equal(load_vae(tmp_path / "vae.safetensors").decode(latent), load_vae(checkpoint_file).decode(latent))


def test_mark_of_velocity_models_is_seen(checkpoint_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "v.safetensors"
    save_file(load_file(checkpoint_file) | {"v_pred": torch.zeros(1)}, path)
    assert isinstance(load_checkpoint(path).model.sampling.parametrisation, Velocity)


def test_missing_parts_are_none(checkpoint_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "unet.safetensors"
    tensors = load_file(checkpoint_file)
    save_file({name: tensor for name, tensor in tensors.items() if name.startswith("model.")}, path)
    checkpoint = load_checkpoint(path)
    assert checkpoint.clip is None
    assert checkpoint.vae is None


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(2)}, path)
    for load in (load_checkpoint, load_vae):
        with pytest.raises(CheckpointError) as caught:
            load(path)
        assert caught.value.type == "unknown_model_family"
        assert caught.value.hint


def test_missing_tensor_is_named_when_the_model_is_used(checkpoint_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "torn.safetensors"
    tensors = load_file(checkpoint_file)
    del tensors["model.diffusion_model.middle_block.0.in_layers.2.weight"]
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r"middle_block\.0\.in_layers\.2\.weight"):
        load_checkpoint(path).model.ready()


def test_weights_that_a_node_read_are_usable_outside_of_inference_mode(
    checkpoint_file: Path, memory: ModelMemory
) -> None:
    model = load_checkpoint(checkpoint_file).model
    with torch.inference_mode():
        model.ready()
    memory.free()
    x = torch.ones(1, 4, 8, 8, requires_grad=True)
    model.ready().denoise(x, torch.ones(1), {"context": torch.ones(1, 77, 64)}).sum().backward()
    assert x.grad is not None
