"""Layers in the CPU's own order, and networks whose blocks come and go: results are those of the plain network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.checkpoints import load_checkpoint
from comfykernel_core_nodes.diffusion.errors import CheckpointError
from comfykernel_core_nodes.diffusion.memory import DevicePolicy, ModelMemory, Part, Precision
from comfykernel_core_nodes.diffusion.weights import TensorSource, Weights

X, STEPS, CONTEXT = (2, 4, 8, 8), torch.tensor([3.0, 800.0]), (2, 77, 64)


def memory_of(*, packed: bool, precision: Precision = "fp32", model_bytes: int | None = None) -> ModelMemory:
    return ModelMemory(DevicePolicy(device="cpu", force=precision, packed=packed, model_bytes=model_bytes))


@torch.inference_mode()
def output(network: nn.Module, data: Callable[..., Tensor], precision: Precision = "fp32") -> Tensor:
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16
    out: Tensor = network(data("x", X).to(dtype), STEPS, data("context", CONTEXT).to(dtype))
    return out


@pytest.mark.parametrize(("precision", "close"), [("fp32", 1e-5), ("bf16", 3e-2)])
def test_packed_layers_compute_the_same(
    checkpoint_file: Path, data: Callable[..., Tensor], precision: Precision, close: float
) -> None:
    model = load_checkpoint(checkpoint_file).model
    plain = output(model.ready(memory_of(packed=False, precision=precision)).network, data, precision)
    packed = output(model.ready(memory_of(packed=True, precision=precision)).network, data, precision)
    assert float((plain - packed).abs().max()) <= close * float(plain.abs().max())


def test_packed_layers_give_their_weights_back(checkpoint_file: Path) -> None:
    model = load_checkpoint(checkpoint_file).model
    networks = [memory_of(packed=packed).module(model.weights, Part.DIFFUSION) for packed in (False, True)]
    plain, packed = (network.state_dict() for network in networks)
    assert plain.keys() == packed.keys()
    assert all(torch.equal(plain[name], packed[name]) for name in plain)
    assert isinstance(networks[1].out[2], nn.Conv2d)
    assert torch.equal(networks[1].out[2].weight, plain["out.2.weight"])


def test_gradients_flow_through_packed_layers(checkpoint_file: Path, data: Callable[..., Tensor]) -> None:
    network = load_checkpoint(checkpoint_file).model.ready(memory_of(packed=True)).network
    x = data("x", X).requires_grad_()
    network(x, STEPS, data("context", CONTEXT)).sum().backward()
    assert x.grad is not None
    assert float(x.grad.abs().sum()) > 0


def test_clones_share_what_no_patch_changes(checkpoint_file: Path) -> None:
    class Doubled:
        def apply(self, weight: Tensor) -> Tensor:
            return weight * 2

    model, memory = load_checkpoint(checkpoint_file).model, memory_of(packed=True, precision="bf16")
    memory.module(model.weights, Part.DIFFUSION)
    alone = memory.loaded_bytes()
    changed = model.with_patches({"out.2.weight": Doubled()})
    network = memory.module(changed.weights, Part.DIFFUSION)
    size = network.get_submodule("out.2").weight.numel() * 2
    assert memory.loaded_bytes() == alone + size


@pytest.mark.parametrize("part_of_size", [0.0, 0.5, 0.9])
def test_a_streamed_network_gives_the_same_bits(
    checkpoint_file: Path, data: Callable[..., Tensor], part_of_size: float
) -> None:
    model = load_checkpoint(checkpoint_file).model
    whole = model.ready(memory_of(packed=False)).network
    size = model.weights.size_hint(torch.float32)
    memory = memory_of(packed=False, model_bytes=int(size * part_of_size))
    streamed = model.ready(memory).network
    assert any(tensor.is_meta for tensor in streamed.parameters())
    assert memory.loaded_bytes() < size
    for _ in range(2):
        assert torch.equal(output(whole, data), output(streamed, data))
    if part_of_size > 0.8:
        assert memory.loaded_bytes() <= size * part_of_size


def test_streamed_blocks_are_gone_after_an_error(checkpoint_file: Path, data: Callable[..., Tensor]) -> None:
    model = load_checkpoint(checkpoint_file).model
    network = model.ready(memory_of(packed=False, model_bytes=1)).network
    before = sum(tensor.is_meta for tensor in network.parameters())
    with pytest.raises(RuntimeError):
        network(data("x", X), STEPS, data("context", (2, 77, 63)))
    assert sum(tensor.is_meta for tensor in network.parameters()) == before
    assert bool(torch.isfinite(output(network, data)).all())


def test_a_streamed_network_goes_with_its_weights(checkpoint_file: Path) -> None:
    memory = memory_of(packed=False, model_bytes=1)
    model = load_checkpoint(checkpoint_file).model
    model.ready(memory)
    assert memory.loaded_bytes() > 0
    del model
    assert memory.loaded_bytes() == 0


def test_a_tensor_of_another_shape_is_an_error_of_its_file() -> None:
    source = TensorSource(lambda: {"weight": torch.zeros(3, 2)}, {"weight": (3, 2)})
    weights = Weights(lambda: nn.Linear(2, 2, bias=False), source, "wrong.safetensors")
    with pytest.raises(CheckpointError, match=r"wrong\.safetensors.*\[3, 2\]"):
        memory_of(packed=False).module(weights, Part.DIFFUSION)
