"""Reproducible tensors by name, as the recorded numbers of these tests were made from; runs of single nodes."""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from comfykernel_core_nodes.diffusion.families import sd1
from comfykernel_core_nodes.nodes.pack import core_pack
from comfykernel_sdk.context import Preview, current
from comfykernel_sdk.errors import Interrupted
from comfykernel_sdk.settings import ExecutionSettings, PathSettings, Settings
from comfykernel_sdk.storage import Storage
from comfykernel_storage_fs.plugin import make_storage


def _generator(key: str) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(key.encode()))


def _data(key: str, shape: Sequence[int]) -> Tensor:
    return torch.randn(tuple(shape), generator=_generator(key))


def _weight(key: str, shape: Sequence[int]) -> Tensor:
    values = _data(key, shape)
    if len(shape) >= 2:
        return values / math.sqrt(math.prod(shape[1:]))
    return 1.0 + 0.1 * values if key.endswith(("weight", "scale")) else 0.1 * values


def _image(key: str, batch: int, height: int, width: int, channels: int = 3) -> Tensor:
    y = torch.linspace(0, 1, height).view(1, height, 1, 1)
    x = torch.linspace(0, 1, width).view(1, 1, width, 1)
    c = torch.arange(channels, dtype=torch.float32).view(1, 1, 1, channels)
    b = torch.arange(batch, dtype=torch.float32).view(batch, 1, 1, 1)
    waves = 0.5 + 0.35 * torch.sin(5.0 * x + 2.0 * c + b) * torch.cos(4.0 * y - c + 0.5 * b)
    noise = torch.rand((batch, height, width, channels), generator=_generator(key)) - 0.5
    return (waves + 0.15 * noise).clamp(0.0, 1.0)


@pytest.fixture(scope="session")
def normal_tensor() -> Callable[[str, Sequence[int]], Tensor]:
    """Standard normal values that depend on a name and a shape only."""
    return _data


@pytest.fixture(scope="session")
def weight_tensor() -> Callable[[str, Sequence[int]], Tensor]:
    """Weights of a checkpoint key: matrices scaled by their fan-in, norms around 1, biases around 0."""
    return _weight


@pytest.fixture(scope="session")
def wavy_image() -> Callable[..., Tensor]:
    """Smooth waves with a little noise: (name, batch, height, width, channels=3), values in 0..1."""
    return _image


UNET = {
    "model_channels": 32,
    "num_res_blocks": (1, 1),
    "channel_mult": (1, 2),
    "transformer_depth": (1, 1),
    "transformer_depth_output": (1, 1, 1, 1),
    "context_dim": 64,
}
AUTOENCODER = {"channels": 32, "channel_mult": (1, 1, 2, 2), "num_res_blocks": 1}
TEXT = {"width": 64, "layers": 2, "heads": 1, "intermediate": 128}


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in SD1.x layout with 32 channels; its weights depend on their names only."""
    parts = {
        sd1.unet_prefix: sd1.unet(UNET),
        sd1.autoencoder_prefix: sd1.autoencoder(AUTOENCODER),
        sd1.text_encoder_prefix: sd1.text_encoder(TEXT),
    }
    tensors = {
        prefix + name: _weight(prefix + name, tensor.shape)
        for prefix, module in parts.items()
        for name, tensor in module.state_dict().items()
    }
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    save_file(tensors, path)
    return path


class RecordingContext:
    """A run's context over real stores that keeps what nodes report."""

    def __init__(self, storage: Storage, settings: Settings) -> None:
        self.prompt_id, self.node_id, self.client_id = "prompt", "1", None
        self.files, self.models, self.settings = storage.files, storage.models, settings
        self.extra_data: dict[str, object] = {}
        self.steps: list[tuple[float, float, Preview | None]] = []
        self.cancel_at: int | None = None

    @property
    def cancelled(self) -> bool:
        return self.cancel_at is not None and len(self.steps) >= self.cancel_at

    def check_cancelled(self) -> None:
        if self.cancelled:
            raise Interrupted

    def progress(self, value: float, total: float, *, preview: Preview | None = None) -> None:
        self.check_cancelled()
        self.steps.append((value, total, preview))


class NodeRun:
    """Runs nodes of the pack by their id, over folders below one directory."""

    def __init__(self, base: Path, settings: Settings) -> None:
        settings = msgspec.structs.replace(settings, paths=PathSettings(base=str(base)))
        self.base = base
        self.context = RecordingContext(make_storage(settings), settings)
        for name in (
            "input",
            "output",
            "temp",
            "models/checkpoints",
            "models/loras",
            "models/vae",
            "models/embeddings",
        ):
            (base / name).mkdir(parents=True, exist_ok=True)

    def within(self, function: Callable[..., object], **inputs: object) -> object:
        """Call a function as the engine would: with the context of a run."""
        token = current.set(self.context)
        try:
            return function(**inputs)
        finally:
            current.reset(token)

    def node(self, id: str, **inputs: object) -> object:
        """What a node gives."""
        definition = core_pack().nodes[id]
        if definition.context_parameter:
            inputs[definition.context_parameter] = self.context
        return self.within(functools.partial(definition.run, None), **inputs)


@pytest.fixture
def node_run(tmp_path: Path) -> Callable[..., NodeRun]:
    """Makes a run with given settings over empty folders."""

    def make(**execution: object) -> NodeRun:
        return NodeRun(tmp_path, Settings(execution=ExecutionSettings(**execution)))

    return make
