"""Control networks and adapters of UNets in the layout of diffusers are those of the first layout."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.control_net import ControlNet
from comfykernel_core_nodes.diffusion.controlnet_unet import ControlUNet, ControlUNetConfig
from comfykernel_core_nodes.diffusion.memory import Part, default_memory
from comfykernel_core_nodes.diffusion.t2i_adapter import AdapterConfig, T2IAdapter
from comfykernel_core_nodes.diffusion.unet_config import UNetConfig
from comfykernel_core_nodes.diffusion.weights import Weights

SD1 = UNetConfig(
    model_channels=32,
    num_res_blocks=(2, 2),
    channel_mult=(1, 2),
    transformer_depth=(1, 1, 1, 1),
    transformer_depth_output=(),
    context_dim=64,
)
SDXL = UNetConfig(
    model_channels=64,
    num_res_blocks=(2, 2),
    channel_mult=(1, 2),
    transformer_depth=(0, 0, 2, 2),
    transformer_depth_output=(),
    transformer_depth_middle=2,
    context_dim=128,
    num_heads=-1,
    num_head_channels=64,
    use_linear_in_transformer=True,
    adm_in_channels=64,
)
# The smallest networks for SDXL: transformers without blocks, in the middle only.
SMALL = replace(SDXL, transformer_depth=(0, 0, 0, 0), transformer_depth_middle=0, context_dim=0)
# Modules of the first layout -> those of diffusers.
OUTER = {
    "input_blocks.0.0": "conv_in",
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "middle_block_out.0": "controlnet_mid_block",
    "input_hint_block.0": "controlnet_cond_embedding.conv_in",
    "input_hint_block.14": "controlnet_cond_embedding.conv_out",
}
RESIDUAL = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
MIDDLE = {"0": "resnets.0", "1": "attentions.0", "2": "resnets.1"}


def diffusers_name(name: str, blocks: int) -> str:
    """A tensor's name there; blocks: residual blocks a level."""
    module, _, ending = name.rpartition(".")
    if module in OUTER:
        return f"{OUTER[module]}.{ending}"
    if match := re.fullmatch(r"input_hint_block\.(\d+)", module):
        return f"controlnet_cond_embedding.blocks.{int(match[1]) // 2 - 1}.{ending}"
    if match := re.fullmatch(r"zero_convs\.(\d+)\.0", module):
        return f"controlnet_down_blocks.{match[1]}.{ending}"
    if match := re.fullmatch(r"middle_block\.(\d)\.(.+)", module):
        return f"mid_block.{MIDDLE[match[1]]}.{RESIDUAL.get(match[2], match[2])}.{ending}"
    if match := re.fullmatch(r"input_blocks\.(\d+)\.(\d)\.(.+)", module):
        level, number = divmod(int(match[1]) - 1, blocks + 1)
        if match[3] == "op":
            return f"down_blocks.{level}.downsamplers.0.conv.{ending}"
        part = "attentions" if match[2] == "1" else "resnets"
        return f"down_blocks.{level}.{part}.{number}.{RESIDUAL.get(match[3], match[3])}.{ending}"
    return name


@pytest.fixture
def load(
    node_run: Callable[..., Any], weight_tensor: Callable[[str, Any], Tensor]
) -> Callable[[dict[str, Tensor]], ControlNet]:
    """Loads a network from a file with tensors of these shapes."""
    run = node_run()
    (run.base / "models/controlnet").mkdir()

    def loaded(tensors: dict[str, Tensor]) -> ControlNet:
        save_file(
            {name: tensor.contiguous() for name, tensor in tensors.items()},
            run.base / "models/controlnet/net.safetensors",
        )
        net = run.node("ControlNetLoader", control_net_name="net.safetensors")
        assert isinstance(net, ControlNet)
        return net

    return loaded


@pytest.fixture
def tensors(weight_tensor: Callable[[str, Any], Tensor]) -> Callable[[nn.Module], dict[str, Tensor]]:
    def made(network: nn.Module) -> dict[str, Tensor]:
        return {name: weight_tensor(name, tensor.shape) for name, tensor in network.state_dict().items()}

    return made


def holds(net: ControlNet, expected: dict[str, Tensor]) -> bool:
    """Whether a network has just these weights."""
    assert isinstance(net.weights, Weights)
    found = default_memory().module(net.weights, Part.CONTROL).state_dict()
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)


@pytest.mark.parametrize("prefix", ["", "controlnet."])
@pytest.mark.parametrize(("unet", "kinds"), [(SD1, 0), (SDXL, 0), (SMALL, 0), (SDXL, 6), (SDXL, 8)])
def test_control_networks(load: Any, tensors: Any, unet: UNetConfig, kinds: int, prefix: str) -> None:
    ours = tensors(ControlUNet(ControlUNetConfig(unet, kinds=kinds)))
    theirs = {prefix + diffusers_name(name, 2): tensor for name, tensor in ours.items()}
    assert {f"{prefix}down_blocks.1.resnets.1.conv2.weight", f"{prefix}controlnet_down_blocks.5.bias"} <= theirs.keys()
    net = load(theirs)
    assert net.kind_count == kinds
    assert holds(net, ours)


@pytest.mark.parametrize("xl", [False, True])
@pytest.mark.parametrize("prefix", ["", "adapter."])
def test_adapters(load: Any, tensors: Any, prefix: str, *, xl: bool) -> None:
    ours = tensors(T2IAdapter(AdapterConfig(channels=(32, 64, 64, 64), blocks=2, xl=xl)))
    theirs: dict[str, Tensor] = {}
    for name, tensor in ours.items():
        if match := re.fullmatch(r"body\.(\d+)\.(block\d|skep)\.(.+)", name):
            level, number = divmod(int(match[1]), 2)
            name = f"body.{level}.resnets.{number}.{match[2]}.{match[3]}"
        elif match := re.fullmatch(r"body\.(\d+)\.(.+)", name):
            name = f"body.{int(match[1]) // 2}.{match[2]}"
        theirs["adapter." + name] = tensor
    assert holds(load(theirs), ours)
    assert holds(load({prefix + name: tensor for name, tensor in ours.items()}), ours)
