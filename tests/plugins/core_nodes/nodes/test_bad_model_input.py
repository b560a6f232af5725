"""Files and prompts that can't be right: each gets a sentence that names it, what was found and what was expected."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from comfykernel_core_nodes.diffusion.checkpoints import load_checkpoint
from comfykernel_sdk.errors import ModelFileError

UNET = "model.diffusion_model."
FOLDERS = ("checkpoints", "loras", "vae", "text_encoders", "diffusion_models")


@pytest.fixture
def run(node_run: Callable[..., Any]) -> Any:
    run = node_run()
    for folder in FOLDERS:
        (run.base / "models" / folder).mkdir(parents=True, exist_ok=True)
    return run


@pytest.fixture
def tensors(family_checkpoint: Callable[[str], Path]) -> dict[str, Tensor]:
    return load_file(family_checkpoint("sd1"))


def load(run: Any, tensors: dict[str, Tensor]) -> Any:
    save_file(tensors, run.base / "models/checkpoints/x.safetensors")
    return run.node("CheckpointLoaderSimple", ckpt_name="x.safetensors")


def sampled(run: Any, model: Any) -> Any:
    from comfykernel_core_nodes.diffusion.conditioning import Conditioning

    condition = [Conditioning(torch.ones(1, 77, 64))]
    return run.node(
        "KSampler", model=model, seed=1, steps=1, cfg=1.0, sampler_name="euler", scheduler="normal",
        positive=condition, negative=condition, latent_image={"samples": torch.zeros(1, 4, 8, 8)}, denoise=1.0,
    )  # fmt: skip


LORA = {"lora_unet_mid_block.lora_up.weight": torch.zeros(2, 2), "lora_unet_mid_block.alpha": torch.tensor(1.0)}


@pytest.mark.parametrize(
    ("folder", "node", "inputs", "expected"),
    [
        ("checkpoints", "CheckpointLoaderSimple", {"ckpt_name": "lora.safetensors"}, "Known families: sd1"),
        ("vae", "VAELoader", {"vae_name": "lora.safetensors"}, "Expected is a KL autoencoder"),
        ("text_encoders", "CLIPLoader", {"clip_name": "lora.safetensors", "type": "sd3"}, "any of CLIP-L, CLIP-G"),
        (
            "diffusion_models", "UNETLoader", {"unet_name": "lora.safetensors", "weight_dtype": "default"},
            "Known families: sd1",
        ),
    ],
)  # fmt: skip
def test_lora_in_other_slots(run: Any, folder: str, node: str, inputs: dict[str, str], expected: str) -> None:
    save_file(LORA, run.base / "models" / folder / "lora.safetensors")
    with pytest.raises(ModelFileError, match=r"lora\.safetensors.*a LoRA with 2 tensors") as error:
        run.node(node, **inputs)
    assert expected in (error.value.hint or "")


def test_checkpoint_without_a_tensor(run: Any, tensors: dict[str, Tensor]) -> None:
    del tensors[f"{UNET}out.2.bias"]
    with pytest.raises(ModelFileError, match=r"x\.safetensors: lacks 1 tensors of its model, such as out\.2\.bias"):
        load(run, tensors)


def test_checkpoint_with_more_tensors(run: Any, tensors: dict[str, Tensor], caplog: pytest.LogCaptureFixture) -> None:
    model, _, _ = load(run, {**tensors, f"{UNET}strange.weight": torch.zeros(1)})
    assert "1 tensors that its model lacks, such as strange.weight" in caplog.text
    assert torch.isfinite(sampled(run, model)["samples"]).all()


def test_tensor_of_another_shape(run: Any, tensors: dict[str, Tensor]) -> None:
    tensors[f"{UNET}time_embed.2.weight"] = torch.zeros(3, 5)
    with pytest.raises(ModelFileError, match=r"time_embed\.2\.weight' of shape \[3, 5\]; its model needs \[128, 128\]"):
        load(run, tensors)


@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool])
def test_weights_of_a_type_without_fractions(run: Any, tensors: dict[str, Tensor], dtype: torch.dtype) -> None:
    tensors[f"{UNET}out.2.weight"] = tensors[f"{UNET}out.2.weight"].to(dtype)
    with pytest.raises(ModelFileError, match=r"x\.safetensors: has tensor .*out\.2\.weight' of type") as error:
        load(run, tensors)
    assert "floating-point" in str(error.value)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float8_e4m3fn])
def test_other_precisions_are_taken(run: Any, tensors: dict[str, Tensor], dtype: torch.dtype) -> None:
    model, _, _ = load(run, {name: tensor.to(dtype) for name, tensor in tensors.items()})
    assert torch.isfinite(sampled(run, model)["samples"]).all()


def test_weights_that_are_no_numbers(run: Any, tensors: dict[str, Tensor]) -> None:
    tensors[f"{UNET}out.2.weight"] = tensors[f"{UNET}out.2.weight"] * float("nan")
    model, _, _ = load(run, tensors)
    with pytest.raises(ModelFileError, match=r"x\.safetensors: has 1 tensors with NaN or infinity, such as 'out\.2"):
        sampled(run, model)


def test_lora_of_another_family(run: Any, family_checkpoint: Callable[[str], Path]) -> None:
    checkpoint = load_checkpoint(family_checkpoint("sd1"))
    given = {"model": checkpoint.model, "clip": checkpoint.clip, "strength_model": 1.0, "strength_clip": 1.0}
    name = "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_k"
    lora = {f"{name}.lora_up.weight": torch.zeros(1280, 4), f"{name}.lora_down.weight": torch.zeros(4, 2048)}
    save_file(lora, run.base / "models/loras/sdxl.safetensors")
    message = r"sdxl\.safetensors: changes .*attn2\.to_k\.weight' by \[1280, 4\] times \[4, 2048\]; .* \[64, 64\] there"
    with pytest.raises(ModelFileError, match=message):
        run.node("LoraLoader", lora_name="sdxl.safetensors", **given)
    save_file({"strange.lora_up.weight": torch.zeros(1)}, run.base / "models/loras/strange.safetensors")
    with pytest.raises(ModelFileError, match=r"strange\.safetensors: fits neither the model nor the text model"):
        run.node("LoraLoader", lora_name="strange.safetensors", **given)


@pytest.mark.parametrize(
    ("text", "chunks"),
    [
        ("", 1),
        (" \n\t ", 1),
        ("word " * 5000, 67),
        ("(((((", 1),
        (")))) (a:1.2", 1),
        ("(a:b) (c:) (:1.2) (d:1e999) (e:nan) ((f:-3):2)", 1),
        ("\\(literal\\) (a:1.1:1.2)", 1),
        ("embedding: embedding:none (embedding:", 1),
        ("\x00\ud7ff 🐈 \u202e", 1),
    ],
)  # fmt: skip
def test_any_text_is_a_prompt(run: Any, family_checkpoint: Callable[[str], Path], text: str, chunks: int) -> None:
    clip = load_checkpoint(family_checkpoint("sd1")).clip
    (condition,) = run.node("CLIPTextEncode", text=text, clip=clip)
    assert condition.tokens.shape == (1, 77 * chunks, 64)
    assert torch.isfinite(condition.tokens).all()
