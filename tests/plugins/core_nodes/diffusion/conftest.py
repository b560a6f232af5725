"""Tensors by name, as the recorded numbers were made from, and a tiny model in the layout of SD1.x."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.autoencoder import AutoencoderConfig, AutoencoderKL
from comfykernel_core_nodes.diffusion.clip_text import ClipTextConfig, ClipTextModel
from comfykernel_core_nodes.diffusion.memory import DevicePolicy, ModelMemory, configure_memory
from comfykernel_core_nodes.diffusion.unet import UNet, UNetConfig

NamedTensor = Callable[[str, Sequence[int]], Tensor]

UNET = UNetConfig(model_channels=32, context_dim=64)
SMALL_UNET = UNetConfig(
    model_channels=32,
    num_res_blocks=(1, 1),
    channel_mult=(1, 2),
    transformer_depth=(1, 1),
    transformer_depth_output=(1, 1, 1, 1),
    context_dim=64,
)
CODEC = AutoencoderConfig(channels=32, channel_mult=(1, 1, 1, 1), num_res_blocks=1)
TEXT = ClipTextConfig(width=64, layers=3, heads=1, intermediate=128)


def _data(key: str, shape: Sequence[int]) -> Tensor:
    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(zlib.crc32(key.encode())))


def _weight(key: str, shape: Sequence[int]) -> Tensor:
    values = _data(key, shape)
    if len(shape) >= 2:
        return values / math.sqrt(math.prod(shape[1:]))
    return 1.0 + 0.1 * values if key.endswith(("weight", "scale")) else 0.1 * values


def _tensors(module: nn.Module, prefix: str) -> dict[str, Tensor]:
    return {prefix + name: _weight(prefix + name, tensor.shape) for name, tensor in module.state_dict().items()}


@pytest.fixture(scope="session")
def data() -> NamedTensor:
    """Standard normal values that depend on a name and a shape only."""
    return _data


@pytest.fixture(scope="session")
def weight() -> NamedTensor:
    """Weights of a checkpoint key: matrices scaled by their fan-in, norms around 1, biases around 0."""
    return _weight


@pytest.fixture(scope="session")
def checkpoint_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete SD1.x checkpoint, tiny."""
    with torch.device("meta"):
        parts = (UNet(SMALL_UNET), AutoencoderKL(CODEC), ClipTextModel(TEXT))
    prefixes = ("model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer.text_model.")
    tensors: dict[str, Tensor] = {}
    for part, prefix in zip(parts, prefixes, strict=True):
        tensors |= _tensors(part, prefix)
    tensors["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    tensors["alphas_cumprod"] = torch.zeros(1000)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    save_file({name: tensor.half() for name, tensor in tensors.items()}, path)
    return path


@pytest.fixture(scope="session")
def unet_tensors() -> dict[str, Tensor]:
    """Weights of the UNet that the recorded runs were made with."""
    with torch.device("meta"):
        module = UNet(UNET)
    return {
        name: _weight(f"model.diffusion_model.{name}", tensor.shape) for name, tensor in module.state_dict().items()
    }


@pytest.fixture(scope="session")
def build_unet() -> Callable[[], UNet]:
    """The UNet of `unet_tensors`, without weights."""
    return lambda: UNet(UNET)


@pytest.fixture(autouse=True)
def memory() -> ModelMemory:
    """The process's model memory, on the CPU, empty, and in the precision of recorded numbers."""
    return configure_memory(DevicePolicy(device="cpu", force="fp32"))
