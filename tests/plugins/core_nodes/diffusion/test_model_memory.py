"""Which models stay loaded, where, and in which precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from comfykernel_core_nodes.diffusion.memory import DevicePolicy, ModelMemory, Part, Precision
from comfykernel_core_nodes.diffusion.weights import TensorSource, Weights

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def linear(reads: list[int], width: int = 16) -> Weights[nn.Linear]:
    def read() -> dict[str, Tensor]:
        reads.append(width)
        return {"weight": torch.eye(width), "bias": torch.zeros(width)}

    return Weights(lambda: nn.Linear(width, width), TensorSource(read, {"weight": (width, width)}), "a test")


def test_module_is_loaded_once_and_shares_the_tensors() -> None:
    reads: list[int] = []
    weights, memory = linear(reads), ModelMemory(DevicePolicy(device="cpu"))
    module = memory.module(weights, Part.DIFFUSION)
    assert memory.module(weights, Part.DIFFUSION) is module
    assert reads == [16]
    assert module.weight.data_ptr() == weights.source.tensors["weight"].data_ptr()
    assert not module.weight.requires_grad


def test_least_recently_used_goes_first() -> None:
    memory = ModelMemory(DevicePolicy(device="cpu", model_bytes=2500))
    a, b, c = (linear([]) for _ in range(3))
    kept = memory.module(a, Part.DIFFUSION)
    gone = memory.module(b, Part.DIFFUSION)
    memory.module(a, Part.DIFFUSION)
    memory.module(c, Part.DIFFUSION)
    assert memory.module(a, Part.DIFFUSION) is kept
    assert memory.module(b, Part.DIFFUSION) is not gone
    assert memory.loaded_bytes() <= 2500


def test_one_model_larger_than_the_limit_still_loads() -> None:
    memory = ModelMemory(DevicePolicy(device="cpu", model_bytes=1))
    assert memory.module(linear([]), Part.DIFFUSION).weight.shape == (16, 16)


def test_free_drops_models_only_when_asked() -> None:
    memory = ModelMemory(DevicePolicy(device="cpu"))
    memory.module(linear([]), Part.TEXT)
    memory.free(unload_models=False)
    assert memory.loaded_bytes() > 0
    memory.free(unload_models=True)
    assert memory.loaded_bytes() == 0


@pytest.mark.parametrize(
    ("policy", "part", "device", "expected"),
    [
        (DevicePolicy(), Part.DIFFUSION, CPU, torch.float32),
        (DevicePolicy(), Part.CODEC, CPU, torch.float32),
        (DevicePolicy(), Part.DIFFUSION, CUDA, torch.float16),
        (DevicePolicy(force="fp32"), Part.DIFFUSION, CUDA, torch.float32),
        (DevicePolicy(force="bf16"), Part.TEXT, CPU, torch.bfloat16),
        (DevicePolicy(force="fp16"), Part.CODEC, CPU, torch.float32),
        (DevicePolicy(codec="fp16"), Part.CODEC, CPU, torch.float16),
        (DevicePolicy(force="fp32", diffusion="bf16"), Part.DIFFUSION, CPU, torch.bfloat16),
    ],
)
def test_precision(policy: DevicePolicy, part: Part, device: torch.device, expected: torch.dtype) -> None:
    assert policy.dtype(part, device) is expected


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_modules_take_the_precision(precision: Precision) -> None:
    memory = ModelMemory(DevicePolicy(device="cpu", force=precision))
    module = memory.module(linear([]), Part.DIFFUSION)
    assert module.weight.dtype is memory.dtype(Part.DIFFUSION)


def test_patches_change_a_copy_and_leave_the_source() -> None:
    class Doubled:
        def apply(self, weight: Tensor) -> Tensor:
            return weight * 2

    memory, weights = ModelMemory(DevicePolicy(device="cpu")), linear([])
    patched = weights.with_patches({"weight": Doubled()})
    assert torch.equal(memory.module(patched, Part.DIFFUSION).weight, 2 * torch.eye(16))
    assert torch.equal(memory.module(weights, Part.DIFFUSION).weight, torch.eye(16))
    assert patched.source is weights.source
    assert not weights.patches
