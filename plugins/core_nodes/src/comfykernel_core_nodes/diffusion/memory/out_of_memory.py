"""What happens when a device's memory is out: it is freed, and the work is tried once more in smaller parts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

import torch

from comfykernel_core_nodes.diffusion.errors import DiffusionError

logger = logging.getLogger(__name__)

T = TypeVar("T")

# What torch's allocators say in a plain RuntimeError.
ALLOCATOR_WORDS: Final = ("DefaultCPUAllocator", "out of memory", "can't allocate memory")
HINT: Final = (
    "Make the picture or the batch smaller, use tiles, free models (POST /free), or choose a lower precision"
    " (such as --bf16-unet)."
)


class OutOfMemory(DiffusionError):
    """Raised when the smallest way of doing something does not fit into the device's memory."""

    type = "out_of_memory"


class Freeable(Protocol):
    """Memory that can be asked to give back what nobody uses."""

    def free(self) -> None: ...


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is out, on whatever device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in ALLOCATOR_WORDS)


def first_that_fits(memory: Freeable, doing: str, ways: Sequence[tuple[str, Callable[[], T]]]) -> T:
    """The result of the first way that memory suffices for.

    ways: each with what a log line calls it, the largest first; between two, models that no run holds are dropped.
    doing: what is done, for messages. Raises `OutOfMemory` when even the last way does not fit.
    """
    told = ""
    for number, (name, work) in enumerate(ways):
        if number:
            memory.free()
            logger.warning("Out of memory at %s; freed what was not in use, and trying %s.", doing, name)
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            # Of the error only its words are kept: its frames hold the tensors that filled the memory.
            told = str(error).strip().partition("\n")[0]
    memory.free()
    raise OutOfMemory(f"The memory of the device is out at {doing}: {told}", HINT)
