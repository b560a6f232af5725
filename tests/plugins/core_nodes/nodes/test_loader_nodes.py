"""Loaders: parts of a checkpoint, LoRAs and autoencoders, and errors for files that can't be used."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from comfykernel_sdk.errors import BadInput, InvalidPath, ModelFileError, NotFound


@pytest.fixture
def run(node_run: Callable[..., Any], tiny_checkpoint: Path) -> Any:
    run = node_run()
    (run.base / "models/checkpoints/tiny.safetensors").symlink_to(tiny_checkpoint)
    return run


def encoded(run: Any, clip: object) -> torch.Tensor:
    (condition,) = run.node("CLIPTextEncode", text="a red circle", clip=clip)
    return condition.tokens


def test_checkpoint_gives_model_text_model_and_autoencoder(run: Any) -> None:
    model, clip, vae = run.node("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    assert model.latent_format.channels == 4
    assert tuple(encoded(run, clip).shape) == (1, 77, 64)
    assert vae.downscale == 8


@pytest.mark.parametrize(
    ("content", "type"),
    [
        (b"", "truncated_checkpoint"),
        (b"\xff" * 8 + b"{}", "invalid_checkpoint"),
        ((1000).to_bytes(8, "little") + b"{}", "truncated_checkpoint"),
        ((2).to_bytes(8, "little") + b"{}", "unknown_model_family"),
    ],
)
def test_damaged_checkpoint_is_named(run: Any, content: bytes, type: str) -> None:
    (run.base / "models/checkpoints/bad.safetensors").write_bytes(content)
    with pytest.raises(ModelFileError, match=r"bad\.safetensors") as error:
        run.node("CheckpointLoaderSimple", ckpt_name="bad.safetensors")
    assert error.value.type == type
    assert error.value.hint


def test_truncated_checkpoint_is_named(run: Any, tiny_checkpoint: Path) -> None:
    data = tiny_checkpoint.read_bytes()
    (run.base / "models/checkpoints/cut.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelFileError, match=r"cut\.safetensors") as error:
        run.node("CheckpointLoaderSimple", ckpt_name="cut.safetensors")
    assert error.value.type == "truncated_checkpoint"


def test_pickle_with_code_is_refused(run: Any) -> None:
    torch.save({"a": Path("x")}, run.base / "models/checkpoints/evil.ckpt")
    with pytest.raises(ModelFileError) as error:
        run.node("CheckpointLoaderSimple", ckpt_name="evil.ckpt")
    assert error.value.type == "unsafe_checkpoint"


def test_names_outside_the_folder_and_missing_files(run: Any) -> None:
    with pytest.raises(NotFound):
        run.node("CheckpointLoaderSimple", ckpt_name="none.safetensors")
    with pytest.raises((InvalidPath, NotFound)):
        run.node("CheckpointLoaderSimple", ckpt_name="../loras/x.safetensors")


def test_checkpoint_without_text_model_and_autoencoder(run: Any, tiny_checkpoint: Path) -> None:
    tensors = {k: v for k, v in load_file(tiny_checkpoint).items() if k.startswith("model.")}
    save_file(tensors, run.base / "models/checkpoints/unet.safetensors")
    _, clip, vae = run.node("CheckpointLoaderSimple", ckpt_name="unet.safetensors")
    assert (clip, vae) == (None, None)
    with pytest.raises(BadInput, match="no text model") as error:
        run.node("CLIPTextEncode", text="a", clip=clip)
    assert error.value.type == "missing_model_part"
    with pytest.raises(BadInput, match="no autoencoder"):
        run.node("VAEDecode", samples={"samples": torch.zeros(1, 4, 8, 8)}, vae=vae)


def test_vae_loader_reads_an_autoencoder_alone(run: Any, tiny_checkpoint: Path) -> None:
    prefix = "first_stage_model."
    tensors = {k.removeprefix(prefix): v for k, v in load_file(tiny_checkpoint).items() if k.startswith(prefix)}
    save_file(tensors, run.base / "models/vae/alone.safetensors")
    alone = run.node("VAELoader", vae_name="alone.safetensors")
    _, _, vae = run.node("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    latent = {"samples": torch.ones(1, 4, 4, 4)}
    assert torch.equal(run.node("VAEDecode", samples=latent, vae=alone), run.node("VAEDecode", samples=latent, vae=vae))


def test_pixel_space_needs_no_file(run: Any, wavy_image: Callable[..., torch.Tensor]) -> None:
    vae, image = run.node("VAELoader", vae_name="pixel_space"), wavy_image("p", 2, 5, 7)
    latent = run.node("VAEEncode", pixels=image, vae=vae)
    assert tuple(latent["samples"].shape) == (2, 3, 5, 7)
    assert torch.allclose(run.node("VAEDecode", samples=latent, vae=vae), image, atol=1e-6)


@pytest.fixture
def lora(run: Any, weight_tensor: Callable[..., torch.Tensor]) -> str:
    base = "lora_te_text_model_encoder_layers_0_mlp_fc1"
    tensors = {
        f"{base}.lora_up.weight": weight_tensor("up", (128, 2)),
        f"{base}.lora_down.weight": weight_tensor("down", (2, 64)),
        "lora_unet_input_blocks_1_1_proj_in.lora_up.weight": weight_tensor("u", (32, 2)),
        "lora_unet_input_blocks_1_1_proj_in.lora_down.weight": weight_tensor("d", (2, 32)),
        "fits_nothing.weight": torch.zeros(1),
    }
    save_file(tensors, run.base / "models/loras/l.safetensors")
    return "l.safetensors"


def with_lora(run: Any, name: str, model: object, clip: object, on_model: float, on_clip: float) -> Any:
    return run.node(
        "LoraLoader", model=model, clip=clip, lora_name=name, strength_model=on_model, strength_clip=on_clip
    )


def test_lora_changes_and_the_original_stays(run: Any, lora: str) -> None:
    model, clip, _ = run.node("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    before = encoded(run, clip)
    changed_model, changed_clip = with_lora(run, lora, model, clip, 1.0, 1.0)
    assert changed_model is not model
    assert not torch.allclose(encoded(run, changed_clip), before, atol=1e-3)
    assert torch.equal(encoded(run, clip), before)


def test_lora_of_opposite_strengths_cancel(run: Any, lora: str) -> None:
    model, clip, _ = run.node("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    there = with_lora(run, lora, model, clip, 0.7, 0.7)
    _, back = with_lora(run, lora, *there, -0.7, -0.7)
    assert torch.allclose(encoded(run, back), encoded(run, clip), atol=1e-4)


def test_lora_of_strength_zero_opens_no_file(run: Any) -> None:
    model, clip, _ = run.node("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    assert with_lora(run, "none.safetensors", model, clip, 0.0, 0.0) == (model, clip)
    none = run.node("LoraLoaderModelOnly", model=model, lora_name="none.safetensors", strength_model=0.0)
    assert none is model


def test_lora_warns_of_tensors_that_fit_nothing(run: Any, lora: str, caplog: pytest.LogCaptureFixture) -> None:
    model, clip, _ = run.node("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    with_lora(run, lora, model, clip, 1.0, 1.0)
    assert "fits_nothing.weight" in caplog.text


def test_damaged_lora_is_named(run: Any) -> None:
    model, clip, _ = run.node("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    (run.base / "models/loras/bad.safetensors").write_bytes(b"1234")
    with pytest.raises(ModelFileError, match=r"bad\.safetensors"):
        with_lora(run, "bad.safetensors", model, clip, 1.0, 1.0)


def test_textual_inversion_is_found_by_its_name(run: Any) -> None:
    _, clip, _ = run.node("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    save_file({"emb_params": torch.ones(2, 64)}, run.base / "models/embeddings/style.safetensors")
    plain, styled, unknown = (
        run.node("CLIPTextEncode", text=text, clip=clip)[0].tokens
        for text in ("circle", "circle embedding:style", "circle embedding:none")
    )
    assert not torch.allclose(styled, plain, atol=1e-3)
    assert torch.equal(unknown, plain)


def test_conditions(run: Any) -> None:
    _, clip, _ = run.node("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    a, b = (run.node("CLIPTextEncode", text=text, clip=clip) for text in ("a", "b"))
    assert run.node("ConditioningCombine", conditioning_1=a, conditioning_2=b) == [*a, *b]
    earlier = run.node("CLIPSetLastLayer", clip=clip, stop_at_clip_layer=-2)
    assert not torch.allclose(encoded(run, earlier), encoded(run, clip), atol=1e-3)


def test_models_are_found_in_subfolders(run: Any, tiny_checkpoint: Path) -> None:
    (run.base / "models/checkpoints/sub").mkdir()
    shutil.copy(tiny_checkpoint, run.base / "models/checkpoints/sub/tiny.safetensors")
    assert run.node("CheckpointLoaderSimple", ckpt_name="sub/tiny.safetensors")[0] is not None
