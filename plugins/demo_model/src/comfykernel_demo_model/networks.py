"""The demo model's networks: their sizes, and how they become one SD1.x checkpoint file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from comfykernel_sdk.families import ConfigValue, find_family

FAMILY = find_family("sd1")

TEXT_WIDTH = 64

# Everything below is readable from tensor shapes: 8 heads in the UNet, heads of 64 channels in the text encoder.
UNET: dict[str, ConfigValue] = {
    "model_channels": 64,
    "channel_mult": [1, 1, 2],
    "num_res_blocks": [1, 1, 1],
    "transformer_depth": [1, 1, 1],
    "transformer_depth_output": [1, 1, 1, 1, 1, 1],
    "context_dim": TEXT_WIDTH,
}
# 96 channels (three in each group) before both last norms: see colour_path.py.
AUTOENCODER: dict[str, ConfigValue] = {"channels": 32, "channel_mult": [3, 2, 2, 3], "num_res_blocks": 1}
TEXT_ENCODER: dict[str, ConfigValue] = {"width": TEXT_WIDTH, "layers": 3, "heads": 1, "intermediate": 256}


@dataclass(frozen=True, slots=True)
class Networks:
    """The three networks of the checkpoint."""

    # Any: the modules' methods are those that LatentDiffusionFamily describes.
    unet: Any
    autoencoder: Any
    text_encoder: Any

    def parts(self) -> list[tuple[str, nn.Module]]:
        """Each network with the prefix of its keys in the checkpoint."""
        return [
            (FAMILY.unet_prefix, self.unet),
            (FAMILY.autoencoder_prefix, self.autoencoder),
            (FAMILY.text_encoder_prefix, self.text_encoder),
        ]


def build_networks() -> Networks:
    """The networks with random weights."""
    return Networks(FAMILY.unet(UNET), FAMILY.autoencoder(AUTOENCODER), FAMILY.text_encoder(TEXT_ENCODER))


def save_checkpoint(networks: Networks, path: Path) -> None:
    """Write all weights as float16 into one file; the file appears when it is complete."""
    tensors = {
        prefix + key: value.detach().half().contiguous()
        for prefix, network in networks.parts()
        for key, value in network.state_dict().items()
    }
    if bad := [key for key, value in tensors.items() if not torch.isfinite(value).all()]:
        raise ValueError(f"weights do not fit into float16: {', '.join(bad)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    save_file(tensors, part, metadata={"format": "pt", "license": "Apache-2.0"})
    part.chmod(0o644)
    os.replace(part, path)


def load_checkpoint(path: Path) -> Networks:
    """The networks with the weights of a file that `save_checkpoint` wrote, in float32 and ready for inference."""
    tensors = load_file(path)
    with torch.device("meta"):
        networks = build_networks()
    for prefix, network in networks.parts():
        network.load_state_dict(_below(tensors.items(), prefix), assign=True)
        network.eval().requires_grad_(False)
    return networks


def _below(tensors: Iterable[tuple[str, Tensor]], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value.float() for key, value in tensors if key.startswith(prefix)}
