"""Checkpoints of several families in their published layouts, tiny, whose weights depend on their names only."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.autoencoder import AutoencoderConfig, AutoencoderKL
from comfykernel_core_nodes.diffusion.clip_text import ClipTextConfig, ClipTextModel
from comfykernel_core_nodes.diffusion.flux import Flux, FluxConfig
from comfykernel_core_nodes.diffusion.memory import DevicePolicy, configure_memory
from comfykernel_core_nodes.diffusion.mmdit import MMDiT, MMDiTConfig
from comfykernel_core_nodes.diffusion.t5_encoder import T5Config, T5Encoder
from comfykernel_core_nodes.diffusion.unet import UNet
from comfykernel_core_nodes.diffusion.unet_config import UNetConfig

CODEC = AutoencoderConfig(channels=32, channel_mult=(1, 1, 1, 1), num_res_blocks=1)
DEEP_CODEC = AutoencoderConfig(
    z_channels=16, channels=32, channel_mult=(1, 1, 1, 1), num_res_blocks=1, quant_conv=False
)
CLIP = ClipTextConfig(width=64, layers=3, heads=1, intermediate=128)
PROJECTED_CLIP = ClipTextConfig(width=64, layers=3, heads=1, intermediate=128, projection_dim=64)
T5 = T5Config(width=64, layers=2, heads=1, hidden=128)
SD1_UNET = UNetConfig(
    model_channels=32,
    num_res_blocks=(1, 1),
    channel_mult=(1, 2),
    transformer_depth=(1, 1),
    transformer_depth_output=(1, 1, 1, 1),
    context_dim=64,
)
SDXL_UNET = UNetConfig(
    model_channels=64,
    num_res_blocks=(1, 1, 1),
    channel_mult=(1, 2, 2),
    transformer_depth=(0, 1, 1),
    transformer_depth_output=(0, 0, 1, 1, 1, 1),
    context_dim=128,
    num_heads=-1,
    num_head_channels=64,
    use_linear_in_transformer=True,
    adm_in_channels=64 + 1536,
)
SD3 = MMDiTConfig(width=128, blocks=2, vector_width=128, positions=16, hidden=256)
FLUX = FluxConfig(width=256, hidden=512, double_blocks=1, single_blocks=1, context_width=64, vector_width=64)

# The layers of a CLIP text model as open_clip names them.
OPEN_CLIP_NAMES = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


def tensor_of(key: str, shape: tuple[int, ...]) -> Tensor:
    """Matrices scaled by their fan-in, norms around 1, biases around 0."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(key.encode())))
    if len(shape) >= 2:
        return values / math.sqrt(math.prod(shape[1:]))
    return 1.0 + 0.1 * values if key.endswith(("weight", "scale")) else 0.1 * values


def tensors(prefix: str, build: Callable[[], nn.Module]) -> dict[str, Tensor]:
    with torch.device("meta"):
        module = build()
    return {prefix + name: tensor_of(prefix + name, tuple(t.shape)) for name, t in module.state_dict().items()}


def clip(prefix: str, config: ClipTextConfig) -> dict[str, Tensor]:
    """A text model as Hugging Face lays it out."""
    named = tensors("", lambda: ClipTextModel(config))
    projection = named.pop("text_projection.weight", None)
    named = {f"{prefix}text_model.{name}": tensor for name, tensor in named.items()}
    return named if projection is None else {**named, f"{prefix}text_projection.weight": projection}


def open_clip(prefix: str, config: ClipTextConfig) -> dict[str, Tensor]:
    """A text model as open_clip lays it out."""
    named = tensors("open", lambda: ClipTextModel(config))
    named = {name.removeprefix("open"): tensor for name, tensor in named.items()}
    out = {
        "positional_embedding": named["embeddings.position_embedding.weight"],
        "token_embedding.weight": named["embeddings.token_embedding.weight"],
        "ln_final.weight": named["final_layer_norm.weight"],
        "ln_final.bias": named["final_layer_norm.bias"],
        "text_projection": named["text_projection.weight"].t().contiguous(),
    }
    for layer in range(config.layers):
        here, there = f"encoder.layers.{layer}", f"transformer.resblocks.{layer}"
        for ending in ("weight", "bias"):
            stacked = [named[f"{here}.self_attn.{part}_proj.{ending}"] for part in "qkv"]
            out[f"{there}.attn.in_proj_{ending}"] = torch.cat(stacked)
            for ours, theirs in OPEN_CLIP_NAMES.items():
                out[f"{there}.{theirs}.{ending}"] = named[f"{here}.{ours}.{ending}"]
    return {prefix + name: tensor for name, tensor in out.items()}


def checkpoint_tensors(family: str) -> dict[str, Tensor]:
    """All tensors of a tiny checkpoint."""
    codec = tensors("first_stage_model.", lambda: AutoencoderKL(CODEC))
    deep = tensors("first_stage_model.", lambda: AutoencoderKL(DEEP_CODEC))
    network = "model.diffusion_model."
    match family:
        case "sd1":
            text = clip("cond_stage_model.transformer.", CLIP)
            return tensors(network, lambda: UNet(SD1_UNET)) | codec | text
        case "sdxl":
            text = clip("conditioner.embedders.0.transformer.", CLIP)
            text |= open_clip("conditioner.embedders.1.model.", PROJECTED_CLIP)
            return tensors(network, lambda: UNet(SDXL_UNET)) | codec | text
        case "sd3":
            text = clip("text_encoders.clip_l.transformer.", PROJECTED_CLIP)
            text |= clip("text_encoders.clip_g.transformer.", PROJECTED_CLIP)
            # Without T5, whose tokens are 4096 wide whatever the size of the rest.
            return tensors(network, lambda: MMDiT(SD3)) | deep | text
        case _:
            text = clip("text_encoders.clip_l.transformer.", CLIP)
            text |= tensors("text_encoders.t5xxl.transformer.", lambda: T5Encoder(T5))
            return tensors(network, lambda: Flux(FLUX)) | deep | text


@pytest.fixture(autouse=True)
def float32() -> None:
    """Numbers here were recorded in float32, whatever precision this machine would choose."""
    configure_memory(DevicePolicy(device="cpu", force="fp32"))


@pytest.fixture(scope="session")
def family_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Writes the tiny checkpoint of a family (sd1, sdxl, sd3, flux), once."""
    folder = tmp_path_factory.mktemp("families")

    def path(family: str) -> Path:
        file = folder / f"{family}.safetensors"
        if not file.exists():
            save_file({name: tensor.half() for name, tensor in checkpoint_tensors(family).items()}, file)
        return file

    return path
