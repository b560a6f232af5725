"""Which models stay loaded, where, and in which precision."""

from __future__ import annotations

import weakref

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

    return Weights(
        lambda: nn.Linear(width, width), TensorSource(read, {"weight": (width, width), "bias": (width,)}), "a test"
    )


def plain(model_bytes: int | None = None) -> ModelMemory:
    """Memory that holds tensors as they are."""
    return ModelMemory(DevicePolicy(device="cpu", force="fp32", packed=False, model_bytes=model_bytes))


def test_module_is_loaded_once_and_shares_the_tensors() -> None:
    reads: list[int] = []
    weights, memory = linear(reads), plain()
    module = memory.module(weights, Part.DIFFUSION)
    assert memory.module(weights, Part.DIFFUSION) is module
    assert reads == [16]
    assert module.weight.data_ptr() == weights.source.tensors["weight"].data_ptr()
    assert not module.weight.requires_grad


def test_least_recently_used_goes_first() -> None:
    reads: list[list[int]] = [[], [], []]
    weights, memory = [linear(each) for each in reads], plain(2500)
    gone = weakref.ref(memory.module(weights[1], Part.DIFFUSION))
    kept = weakref.ref(memory.module(weights[0], Part.DIFFUSION))
    memory.module(weights[2], Part.DIFFUSION)
    assert gone() is None
    assert kept() is memory.module(weights[0], Part.DIFFUSION)
    assert memory.loaded_bytes() == 2 * (16 * 16 + 16) * 4


def test_a_module_that_a_run_holds_is_not_dropped() -> None:
    weights, memory = [linear([]) for _ in range(3)], plain(2500)
    held = memory.module(weights[0], Part.DIFFUSION)
    passed = weakref.ref(memory.module(weights[1], Part.DIFFUSION))
    memory.module(weights[2], Part.DIFFUSION)
    assert passed() is None
    assert memory.module(weights[0], Part.DIFFUSION) is held
    memory.free()
    assert memory.module(weights[0], Part.DIFFUSION) is held
    assert memory.loaded_bytes() == (16 * 16 + 16) * 4


def test_a_module_whose_weights_are_gone_is_dropped() -> None:
    weights, memory = linear([]), plain()
    gone = weakref.ref(memory.module(weights, Part.DIFFUSION))
    del weights
    assert memory.loaded_bytes() == 0
    assert gone() is None


def test_one_model_larger_than_the_limit_still_loads() -> None:
    assert plain(1).module(linear([]), Part.DIFFUSION).weight.shape == (16, 16)


def test_free_drops_models_only_when_asked() -> None:
    weights, memory = linear([]), plain()
    memory.module(weights, Part.TEXT)
    memory.free(unload_models=False)
    assert memory.loaded_bytes() > 0
    memory.free(unload_models=True)
    assert memory.loaded_bytes() == 0


def test_limit_is_what_is_free_less_the_reserve() -> None:
    memory = ModelMemory(DevicePolicy(device="cpu", reserve_bytes=2**62))
    assert memory.limit_bytes() == 0
    assert 0 < ModelMemory(DevicePolicy(device="cpu", reserve_bytes=0)).limit_bytes() <= 2**60


def test_as_many_rows_at_once_as_the_device_has_room_for() -> None:
    memory = plain()
    small, large = torch.Size([4, 64, 64]), torch.Size([4, 1024, 1024])
    assert memory.rows_at_once(small) > memory.rows_at_once(large) >= 1
    assert memory.rows_at_once(torch.Size([4, 2**15, 2**15])) == 1


@pytest.mark.parametrize(
    ("policy", "part", "device", "expected"),
    [
        (DevicePolicy(cpu_bf16=False), Part.DIFFUSION, CPU, torch.float32),
        (DevicePolicy(cpu_bf16=False), Part.CODEC, CPU, torch.float32),
        (DevicePolicy(), Part.DIFFUSION, CUDA, torch.float16),
        (DevicePolicy(force="fp32"), Part.DIFFUSION, CUDA, torch.float32),
        (DevicePolicy(force="bf16"), Part.TEXT, CPU, torch.bfloat16),
        (DevicePolicy(force="fp16", cpu_bf16=False), Part.CODEC, CPU, torch.float32),
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

    memory, weights = ModelMemory(DevicePolicy(device="cpu", force="fp32")), linear([])
    patched = weights.with_patches({"weight": Doubled()})
    assert torch.equal(memory.module(patched, Part.DIFFUSION).weight, 2 * torch.eye(16))
    assert torch.equal(memory.module(weights, Part.DIFFUSION).weight, torch.eye(16))
    assert patched.source is weights.source
    assert not weights.patches
