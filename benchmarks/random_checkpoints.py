"""Checkpoints in the shapes of published families, with random weights: float16, in the original layout."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn

from comfykernel_core_nodes.diffusion.autoencoder import AutoencoderConfig, AutoencoderKL
from comfykernel_core_nodes.diffusion.clip_text import ClipTextConfig, ClipTextModel
from comfykernel_core_nodes.diffusion.unet import UNet, UNetConfig

SDXL_UNET = UNetConfig(
    num_res_blocks=(2, 2, 2),
    channel_mult=(1, 2, 4),
    transformer_depth=(0, 0, 2, 2, 10, 10),
    transformer_depth_output=(0, 0, 0, 2, 2, 2, 10, 10, 10),
    transformer_depth_middle=10,
    context_dim=2048,
    num_heads=-1,
    num_head_channels=64,
    use_linear_in_transformer=True,
    adm_in_channels=2816,
)
CLIP_G = ClipTextConfig(width=1280, layers=32, heads=20, intermediate=5120, projection_dim=1280)
OPEN_CLIP = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
    "embeddings.position_embedding.weight": "positional_embedding",
    "embeddings.token_embedding": "token_embedding",
    "final_layer_norm": "ln_final",
    "encoder.layers": "transformer.resblocks",
}
Shapes = dict[str, tuple[int, ...]]


def checkpoint(folder: Path, family: str) -> Path:
    """The checkpoint of a family (sd1 or sdxl) in a folder, written when it is not there yet."""
    path = folder / f"random_{family}.safetensors"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _write(path, FAMILIES[family]())
    return path


def _sd1() -> Shapes:
    return {
        **_shapes("model.diffusion_model.", lambda: UNet(UNetConfig())),
        **_shapes("first_stage_model.", lambda: AutoencoderKL(AutoencoderConfig())),
        **_shapes("cond_stage_model.transformer.text_model.", lambda: ClipTextModel(ClipTextConfig())),
    }


def _sdxl() -> Shapes:
    clip_l = _shapes("conditioner.embedders.0.transformer.text_model.", lambda: ClipTextModel(ClipTextConfig()))
    return {
        **_shapes("model.diffusion_model.", lambda: UNet(SDXL_UNET)),
        **_shapes("first_stage_model.", lambda: AutoencoderKL(AutoencoderConfig())),
        **clip_l,
        **_open_clip("conditioner.embedders.1.model."),
    }


FAMILIES: dict[str, Callable[[], Shapes]] = {"sd1": _sd1, "sdxl": _sdxl}


def _shapes(prefix: str, build: Callable[[], nn.Module]) -> Shapes:
    with torch.device("meta"):
        module = build()
    return {prefix + name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def _open_clip(prefix: str) -> Shapes:
    """The second text model, as open_clip names and stacks its tensors."""
    found: Shapes = {}
    for name, shape in _shapes("", lambda: ClipTextModel(CLIP_G)).items():
        for ours, theirs in OPEN_CLIP.items():
            name = name.replace(ours, theirs)
        if ".k_proj." in name or ".v_proj." in name:
            continue
        if ".q_proj." in name:
            name = name.replace("self_attn.q_proj.", "attn.in_proj_")
            shape = (3 * shape[0], *shape[1:])
        found[prefix + name.replace("text_projection.weight", "text_projection")] = shape
    return found


def _write(path: Path, shapes: Shapes) -> None:
    """Write the file tensor by tensor: the values repeat, which no measured thing sees."""
    header, position = {}, 0
    for name, shape in sorted(shapes.items()):
        size = math.prod(shape) * 2
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [position, position + size]}
        position += size
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    values = torch.randn(2**22, generator=torch.Generator().manual_seed(0))
    with path.with_suffix(".part").open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        for name, shape in sorted(shapes.items()):
            for part in _values(name, shape, values):
                file.write(part.numpy().tobytes())
    path.with_suffix(".part").rename(path)


def _values(name: str, shape: tuple[int, ...], values: torch.Tensor) -> Iterator[torch.Tensor]:
    """Matrices scaled by their fan-in, norms 1, biases 0, in parts."""
    left = math.prod(shape)
    if len(shape) < 2:
        yield torch.full((left,), float("norm" in name or ".ln_" in name) * name.endswith("weight")).half()
        return
    scaled = (values / math.sqrt(math.prod(shape[1:]))).half()
    while left > 0:
        yield scaled[:left]
        left -= len(scaled)
