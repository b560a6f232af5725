"""Control networks of transformers in the layouts in which they are published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.control_net import ControlNet, LatentHint, PixelHint
from comfykernel_core_nodes.diffusion.controlnet_transformers import (
    ControlFlux,
    ControlFluxConfig,
    ControlMMDiT,
    ControlStream,
    ControlStreamConfig,
)
from comfykernel_core_nodes.diffusion.flux import FluxConfig
from comfykernel_core_nodes.diffusion.memory import Part, default_memory
from comfykernel_core_nodes.diffusion.mmdit import MMDiTConfig
from comfykernel_core_nodes.diffusion.transformer_layouts import Slot, flux_slots, sd3_slots
from comfykernel_core_nodes.diffusion.weights import Weights

FLUX = FluxConfig(width=256, hidden=512, double_blocks=2, single_blocks=1, context_width=64, vector_width=64)
SD3 = MMDiTConfig(width=128, blocks=2, vector_width=128, positions=16, hidden=256)
STREAM = ControlStreamConfig(width=128, hidden=256, blocks=2, vector_width=128)
HINT = torch.linspace(0, 1, 64 * 64 * 3).reshape(1, 64, 64, 3)
# Hints of the networks of transformers are 16 latent channels, inpainting networks have a mask besides.
MASKED = 17


@pytest.fixture
def run(node_run: Callable[..., Any], family_checkpoint: Callable[[str], Path]) -> Any:
    """Nodes over a folder with small models of the families."""
    run = node_run()
    for family in ("flux", "sd3"):
        (run.base / f"models/checkpoints/{family}.safetensors").symlink_to(family_checkpoint(family))
    (run.base / "models/controlnet").mkdir()
    return run


@pytest.fixture
def tensors(weight_tensor: Callable[[str, Any], Tensor]) -> Callable[[nn.Module], dict[str, Tensor]]:
    def made(network: nn.Module) -> dict[str, Tensor]:
        return {name: weight_tensor(name, tensor.shape) for name, tensor in network.state_dict().items()}

    return made


def load(run: Any, tensors: dict[str, Tensor], name: str = "net") -> ControlNet:
    """A network from a file with these tensors."""
    path = run.base / f"models/controlnet/{name}.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path)
    net = run.node("ControlNetLoader", control_net_name=f"{name}.safetensors")
    assert isinstance(net, ControlNet)
    return net


def network(net: ControlNet) -> Any:
    assert isinstance(net.weights, Weights)
    return default_memory().module(net.weights, Part.CONTROL)


def sample(run: Any, net: ControlNet | None, family: str) -> Tensor:
    model, clip, vae = run.node("CheckpointLoaderSimple", ckpt_name=f"{family}.safetensors")
    positive, negative = (run.node("CLIPTextEncode", text=text, clip=clip) for text in ("a house", "bad"))
    if net is not None:
        positive, negative = run.node(
            "ControlNetApplyAdvanced", positive=positive, negative=negative, control_net=net, image=HINT, vae=vae,
            strength=1.0, start_percent=0.0, end_percent=1.0,
        )  # fmt: skip
    sampled: Tensor = run.node(
        "KSampler", model=model, seed=3, steps=2, cfg=2.0, sampler_name="euler", scheduler="simple",
        positive=positive, negative=negative, denoise=1.0, latent_image={"samples": torch.zeros(1, 16, 8, 8)},
    )["samples"]  # fmt: skip
    return sampled


def as_diffusers(tensors: dict[str, Tensor], slots: dict[str, Slot]) -> dict[str, Tensor]:
    """Tensors by the names of diffusers, what is stacked here taken apart."""
    out = dict(tensors)
    for module, slot in slots.items():
        for ours, theirs in (("weight", "weight"), ("bias", "bias"), ("scale", "weight")):
            whole = tensors.get(f"{slot.module}.{ours}")
            if whole is None:
                continue
            out.pop(f"{slot.module}.{ours}", None)
            if slot.module.endswith("linear1"):
                sizes = [FLUX.width] * 3 + [FLUX.hidden]
                out[f"{module}.{theirs}"] = whole.split(sizes)[slot.part]
            else:
                out[f"{module}.{theirs}"] = whole.chunk(slot.parts)[slot.part]
    return out


def same_weights(first: ControlNet, second: ControlNet) -> bool:
    a, b = network(first).state_dict(), network(second).state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(("kinds", "channels", "single"), [(0, 16, 1), (6, 16, 1), (0, 16, 0), (0, MASKED, 1)])
def test_flux_in_the_layout_of_diffusers(run: Any, tensors: Any, kinds: int, channels: int, single: int) -> None:
    """InstantX and Shakker Labs, their union networks, and the inpainting network of AliMama."""
    flux = FluxConfig(**{**{name: getattr(FLUX, name) for name in FLUX.__slots__}, "single_blocks": single})
    ours = tensors(ControlFlux(ControlFluxConfig(flux, channels, kinds=kinds)))
    theirs = as_diffusers(ours, flux_slots({"double_blocks": 2, "single_blocks": single}))
    assert "controlnet_x_embedder.weight" in theirs
    assert "transformer_blocks.1.attn.add_k_proj.weight" in theirs
    net = load(run, theirs, "theirs")
    assert net.kind_count == kinds
    assert isinstance(net.hint, LatentHint)
    assert net.hint.masked is (channels == MASKED)
    assert same_weights(net, load(run, ours, "ours"))
    if channels == 16:
        told = net.with_kinds(2) if kinds else net
        assert not torch.allclose(sample(run, told, "flux"), sample(run, None, "flux"), atol=1e-3)


def test_flux_in_the_layout_of_xlabs(run: Any, tensors: Any) -> None:
    net = load(run, tensors(ControlFlux(ControlFluxConfig(FLUX, pixels=True))))
    assert isinstance(net.hint, PixelHint)
    assert not torch.allclose(sample(run, net, "flux"), sample(run, None, "flux"), atol=1e-3)


def test_flux_in_the_layout_of_mistoline(run: Any, tensors: Any) -> None:
    ours = tensors(ControlFlux(ControlFluxConfig(FLUX, pixels=True, activated=True)))
    theirs: dict[str, Tensor] = {}
    for name, tensor in ours.items():
        name = name.replace("controlnet_single_blocks.", "single_controlnet_blocks.")
        name = name.replace("input_hint_block.", "input_cond_block.encoder.")
        theirs[name.replace("blocks.0.0.", "blocks.0.linear.").replace("blocks.1.0.", "blocks.1.linear.")] = tensor
    assert theirs["input_cond_block.encoder.2.weight"].shape == (16, 16, 1, 1)
    assert theirs["input_cond_block.encoder.18.weight"].shape == (16, 16, 3, 3)
    assert "single_controlnet_blocks.0.linear.weight" in theirs
    net = load(run, theirs)
    module = network(net)
    assert module.input_hint_block(HINT.movedim(-1, 1)).shape == (1, 16, 8, 8)
    zero = torch.nn.functional.silu(ours["controlnet_blocks.0.0.bias"])
    assert torch.allclose(module.controlnet_blocks[0](torch.zeros(1, FLUX.width))[0], zero)
    assert not torch.allclose(sample(run, net, "flux"), sample(run, None, "flux"), atol=1e-3)


def test_sd3_in_the_layout_of_diffusers(run: Any, tensors: Any) -> None:
    """InstantX's networks: joint blocks, all of them with a text stream that goes on."""
    ours = tensors(ControlMMDiT(SD3, 16))
    theirs = as_diffusers(ours, sd3_slots({"joint_blocks": 2}))
    if "pos_embed" in theirs:
        theirs["pos_embed.pos_embed"] = theirs.pop("pos_embed")
    net = load(run, theirs)
    loaded = network(net).state_dict()
    assert loaded.keys() == ours.keys()
    assert not torch.allclose(sample(run, net, "sd3"), sample(run, None, "sd3"), atol=1e-3)


def test_sd35_in_both_layouts(run: Any, tensors: Any) -> None:
    """Stability's networks: their own layout tells what the hint is, in that of diffusers the file's name may."""
    ours = tensors(ControlStream(STREAM))
    outer = {
        slot.module: module for module, slot in sd3_slots({"joint_blocks": 0}).items() if slot.module in _modules(ours)
    }
    original = {_renamed(name, outer): tensor for name, tensor in ours.items()}
    joint = {name.replace("transformer_blocks.", "joint_blocks."): tensor for name, tensor in ours.items()}
    joint = {_with_stream(name): tensor for name, tensor in joint.items()}
    theirs = as_diffusers(joint, sd3_slots({"joint_blocks": 2}))
    assert "transformer_blocks.0.adaLN_modulation.1.bias" in original
    assert "transformer_blocks.0.norm1.linear.bias" in theirs
    first, second = load(run, original, "original"), load(run, theirs, "theirs")
    assert same_weights(first, second)
    assert torch.equal(sample(run, first, "sd3"), sample(run, second, "sd3"))
    told = load(run, {**original, "control_type": torch.tensor([2.0])}, "told")
    named = load(run, theirs, "sd3.5_large_controlnet_depth")
    assert told.hint == named.hint != second.hint


def _modules(tensors: dict[str, Tensor]) -> set[str]:
    return {name.rpartition(".")[0] for name in tensors}


def _renamed(name: str, outer: dict[str, str]) -> str:
    module, _, ending = name.rpartition(".")
    return f"{outer.get(module, module)}.{ending}"


def _with_stream(name: str) -> str:
    if not name.startswith("joint_blocks."):
        return name
    _, number, rest = name.split(".", 2)
    return f"joint_blocks.{number}.x_block.{rest}"
