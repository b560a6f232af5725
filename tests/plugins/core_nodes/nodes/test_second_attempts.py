"""Memory that is out in a node of any pack: what is freed, how often the node is called, and what a user is told."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from typing import Annotated

import pytest
import torch

from comfykernel_core_nodes.diffusion.memory import DevicePolicy, Part, configure_memory, default_memory
from comfykernel_core_nodes.diffusion.weights import TensorSource, Weights
from comfykernel_core_nodes.nodes.second_attempts import give_second_attempts
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.nodes import NodeDefinition, NodePack, Result, node
from comfykernel_sdk.sockets import Image, Out

CPU_WORDS = "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes."
ERRORS = [torch.OutOfMemoryError("CUDA out of memory. Tried 20 MiB."), MemoryError(), RuntimeError(CPU_WORDS)]


@pytest.fixture(autouse=True)
def memory() -> Iterator[None]:
    configure_memory(DevicePolicy(device="cpu"))
    yield
    configure_memory(DevicePolicy(device="cpu"))


@pytest.fixture
def loaded() -> Weights[torch.nn.Module]:
    """A model that is loaded and that no run holds."""
    source = TensorSource(lambda: {"weight": torch.ones(1, 4)}, {"weight": (1, 4)})
    weights = Weights[torch.nn.Module](lambda: torch.nn.Linear(4, 1, bias=False, device="meta"), source, "a model")
    default_memory().module(weights, Part.TEXT)
    return weights


class Failing:
    """What a node does: fails so often, and notes what was loaded at each attempt."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.loaded: list[int] = []

    def __call__(self) -> int:
        filling = torch.ones(7)
        self.loaded.append(default_memory().loaded_bytes())
        if self.errors:
            raise self.errors.pop(0)
        return int(filling.sum())


def guarded(work: Callable[[], int], **declared: bool) -> NodeDefinition:
    @node("Guarded", **declared)
    def run(value: int) -> Annotated[int, Out()]:
        return value + work()

    pack = NodePack("test", [run])
    give_second_attempts([pack])
    return pack.nodes["Guarded"]


@pytest.mark.parametrize("error", ERRORS, ids=["torch", "python", "allocator"])
def test_memory_is_freed_and_the_node_called_once_more(error: Exception, loaded: object) -> None:
    work = Failing(error)
    assert guarded(work).run(None, value=3) == 10
    assert work.loaded[0] > 0
    assert work.loaded[1] == 0


@pytest.mark.parametrize("error", ERRORS, ids=["torch", "python", "allocator"])
def test_what_fails_twice_is_an_error_with_its_type_and_a_hint(error: Exception) -> None:
    work = Failing(error, error, error)
    with pytest.raises(BadInput, match="out in Guarded") as raised:
        guarded(work).run(None, value=3)
    assert raised.value.type == "out_of_memory"
    assert "smaller" in raised.value.hint
    assert raised.value.__cause__ is error
    assert traceback.extract_tb(raised.value.__traceback__)[-1].name == "__call__", "where the node itself failed"
    assert traceback.extract_tb(raised.value.__traceback__)[-1].filename == __file__
    assert len(work.loaded) == 2


@pytest.mark.parametrize("declared", [{"output_node": True}, {"changes_inputs": True}])
def test_what_may_have_left_something_behind_is_not_called_again(declared: dict[str, bool], loaded: object) -> None:
    work = Failing(MemoryError())
    with pytest.raises(BadInput) as raised:
        guarded(work, **declared).run(None, value=3)
    assert raised.value.type == "out_of_memory"
    assert len(work.loaded) == 1
    assert default_memory().loaded_bytes() == 0


def test_other_errors_are_the_nodes_own(loaded: object) -> None:
    work = Failing(ValueError("a fault"))
    with pytest.raises(ValueError, match="a fault"):
        guarded(work).run(None, value=3)
    assert len(work.loaded) == 1
    assert default_memory().loaded_bytes() > 0


def test_what_the_failed_attempt_held_is_gone_before_the_next() -> None:
    held: list[bool] = []

    class Large:
        alive = 0

        def __init__(self) -> None:
            Large.alive += 1

        def __del__(self) -> None:
            Large.alive -= 1

    def work() -> int:
        held.append(Large.alive > 0)
        large = Large()
        if len(held) == 1:
            raise MemoryError
        return Large.alive if large else 0

    assert guarded(work).run(None, value=0) == 1
    assert held == [False, False]


def test_packs_are_guarded_once() -> None:
    pack = NodePack("test", [guarded(Failing(MemoryError(), MemoryError(), MemoryError()))])
    give_second_attempts([pack])
    with pytest.raises(BadInput):
        pack.nodes["Guarded"].run(None, value=1)


@node("AsyncNode")
async def waits(image: Image) -> Result[None]:
    return Result()


def test_coroutines_stay_as_they_are() -> None:
    pack = NodePack("test", [waits])
    before = pack.nodes["AsyncNode"].run
    give_second_attempts([pack])
    assert pack.nodes["AsyncNode"].run is before
