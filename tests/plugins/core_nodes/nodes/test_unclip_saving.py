"""unCLIP models are saved with what they need to see pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from comfykernel_core_nodes.diffusion.clip_vision import ClipVisionConfig, ClipVisionModel
from comfykernel_core_nodes.diffusion.unet import UNet
from comfykernel_core_nodes.diffusion.unet_config import UNetConfig

WIDTH = 32
VISION = ClipVisionConfig(width=64, layers=2, heads=1, intermediate=64, patch=8, image=16, projection=WIDTH)
UNET = UNetConfig(
    model_channels=64,
    num_res_blocks=(1, 1, 1, 1),
    channel_mult=(1, 1, 1, 1),
    transformer_depth=(1, 1, 1, 0),
    transformer_depth_output=(1, 1, 1, 1, 1, 1, 0, 0),
    context_dim=64,
    num_heads=-1,
    num_head_channels=64,
    use_linear_in_transformer=True,
    adm_in_channels=2 * WIDTH,
)
# The layers of an image encoder as open_clip names them.
OUTER = {
    "embeddings.class_embedding": "class_embedding",
    "embeddings.patch_embedding.weight": "conv1.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "pre_layrnorm": "ln_pre",
    "post_layernorm": "ln_post",
}
INNER = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def open_clip_vision(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """An image encoder in the layout in which unCLIP checkpoints are published."""
    out: dict[str, Tensor] = {"visual.proj": tensors["visual_projection.weight"].t().contiguous()}
    for name, tensor in tensors.items():
        name = name.removeprefix("vision_model.")
        if name.startswith("encoder.layers."):
            layer, _, inner = name.removeprefix("encoder.layers.").partition(".")
            module, _, ending = inner.rpartition(".")
            if module in INNER:
                out[f"visual.transformer.resblocks.{layer}.{INNER[module]}.{ending}"] = tensor
            elif module == "self_attn.q_proj":
                stacked = [tensors["vision_model." + name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
                out[f"visual.transformer.resblocks.{layer}.attn.in_proj_{ending}"] = torch.cat(stacked)
        else:
            for ours, theirs in OUTER.items():
                if name.startswith(ours):
                    out["visual." + name.replace(ours, theirs)] = tensor
    return out


@pytest.fixture
def run(
    node_run: Callable[..., Any],
    family_checkpoint: Callable[[str], Path],
    weight_tensor: Callable[[str, Any], Tensor],
) -> Any:
    """Nodes over a folder with an unCLIP checkpoint."""
    run = node_run()
    tensors = {
        f"model.diffusion_model.{name}": weight_tensor(name, tensor.shape)
        for name, tensor in UNet(UNET).state_dict().items()
    }
    for name, tensor in load_file(family_checkpoint("sdxl")).items():
        if name.startswith("conditioner.embedders.1.model."):
            tensors[name.replace("conditioner.embedders.1.", "cond_stage_model.")] = tensor
        elif name.startswith("first_stage_model."):
            tensors[name] = tensor
    vision = {name: weight_tensor(name, each.shape) for name, each in ClipVisionModel(VISION).state_dict().items()}
    tensors |= {f"embedder.model.{name}": tensor for name, tensor in open_clip_vision(vision).items()}
    tensors["noise_augmentor.data_mean"] = weight_tensor("mean", (1, WIDTH))
    tensors["noise_augmentor.data_std"] = 1.0 + weight_tensor("deviation", (1, WIDTH)).abs()
    save_file({name: each.half() for name, each in tensors.items()}, run.base / "models/checkpoints/unclip.safetensors")
    return run


def again(run: Any, saved: str, name: str) -> Path:
    """A file that a node saved, where loaders look for it."""
    path: Path = run.base / "models" / name
    path.parent.mkdir(exist_ok=True)
    (run.base / "output" / saved).rename(path)
    return path


def picture(run: Any, model: Any, clip: Any, vision: Any) -> Tensor:
    """A run that a picture steers."""
    image = torch.linspace(0, 1, 20 * 24 * 3).reshape(1, 20, 24, 3)
    seen = run.node("CLIPVisionEncode", clip_vision=vision, image=image, crop="center")
    text = run.node("CLIPTextEncode", text="a house", clip=clip)
    positive = run.node(
        "unCLIPConditioning", conditioning=text, clip_vision_output=seen, strength=1.0, noise_augmentation=0.3
    )
    sampled: Tensor = run.node(
        "KSampler", model=model, seed=3, steps=2, cfg=2.0, sampler_name="euler", scheduler="normal",
        positive=positive, negative=text, denoise=1.0, latent_image={"samples": torch.zeros(1, 4, 8, 8)},
    )["samples"]  # fmt: skip
    return sampled


def test_a_saved_checkpoint_is_whole(run: Any) -> None:
    model, clip, vae, vision = run.node("unCLIPCheckpointLoader", ckpt_name="unclip.safetensors")
    expected = picture(run, model, clip, vision)
    run.node("CheckpointSave", model=model, clip=clip, vae=vae, filename_prefix="checkpoints/unclip")
    path = again(run, "checkpoints/unclip_00001_.safetensors", "checkpoints/again.safetensors")
    first, second = load_file(run.base / "models/checkpoints/unclip.safetensors"), load_file(path)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    model, clip, _, vision = run.node("unCLIPCheckpointLoader", ckpt_name="again.safetensors")
    assert torch.equal(picture(run, model, clip, vision), expected)


def test_a_saved_merge_is_whole(run: Any) -> None:
    model, clip, vae, _ = run.node("unCLIPCheckpointLoader", ckpt_name="unclip.safetensors")
    half = run.node("ModelMergeSubtract", model1=model, model2=model, multiplier=0.5)
    run.node("CheckpointSave", model=half, clip=clip, vae=vae, filename_prefix="half")
    path = again(run, "half_00001_.safetensors", "checkpoints/half.safetensors")
    assert load_file(path).keys() == load_file(run.base / "models/checkpoints/unclip.safetensors").keys()


def test_a_model_alone_keeps_the_scale_of_its_pictures(run: Any) -> None:
    model, clip, _, vision = run.node("unCLIPCheckpointLoader", ckpt_name="unclip.safetensors")
    run.node("ModelSave", model=model, filename_prefix="alone")
    path = again(run, "alone_00001_.safetensors", "diffusion_models/alone.safetensors")
    names = {name.partition(".")[0] for name in load_file(path)}
    assert names == {"model", "noise_augmentor"}
    alone = run.node("UNETLoader", unet_name="alone.safetensors", weight_dtype="default")
    assert torch.equal(picture(run, alone, clip, vision), picture(run, model, clip, vision))


def test_an_image_encoder_takes_the_place_of_the_models_own(run: Any) -> None:
    model, clip, vae, vision = run.node("unCLIPCheckpointLoader", ckpt_name="unclip.safetensors")
    expected = picture(run, model, clip, vision)
    run.node("ImageOnlyCheckpointSave", model=model, clip_vision=vision, vae=vae, filename_prefix="seeing")
    path = again(run, "seeing_00001_.safetensors", "checkpoints/seeing.safetensors")
    names = load_file(path)
    assert "embedder.model.visual.vision_model.embeddings.patch_embedding.weight" in names
    assert "embedder.model.visual.conv1.weight" not in names
    model, vision, _ = run.node("ImageOnlyCheckpointLoader", ckpt_name="seeing.safetensors")
    # Tensors lie otherwise in memory, and products of matrices round otherwise.
    assert torch.allclose(picture(run, model, clip, vision), expected, rtol=1e-4, atol=1e-3)
