"""The owner of device memory: what is loaded, what it costs, and what goes first."""

from __future__ import annotations

import ctypes
import gc
import sys
import weakref
from collections import OrderedDict
from dataclasses import dataclass, replace
from threading import RLock
from typing import TYPE_CHECKING, Final, TypeVar, cast

import psutil
import torch
from torch import nn

from comfykernel_core_nodes.diffusion.memory.packing import PACKABLE_DTYPES
from comfykernel_core_nodes.diffusion.memory.placement import Placement, Relative, held_tensors, placed
from comfykernel_core_nodes.diffusion.memory.policy import DevicePolicy, Part
from comfykernel_core_nodes.diffusion.memory.streaming import streamed

if TYPE_CHECKING:
    from comfykernel_core_nodes.diffusion.weights import Weights

M = TypeVar("M", bound=nn.Module)

# Bytes that models leave free for activations and for others, by the kind of device.
RESERVES: Final = {"cuda": 1536 * 2**20, "cpu": 1024 * 2**20}
# Elements that live at once in the largest networks for each place of a latent, a row: the skip connections and the
# widest layer of a UNet of 320 channels, or a block of a transformer of 3072. See docs/memory_and_precision.md.
ELEMENTS_PER_PLACE: Final = 10_000


@dataclass(slots=True)
class _Loaded:
    weights: weakref.ref[Weights[nn.Module]]
    """nobody can ask for the module again when its weights are gone"""
    recipe: Weights[nn.Module]
    """the weights as they are held: a copy, which keeps nobody from letting go of the weights"""
    where: Placement
    size: int
    """bytes on the device when nothing is shared"""
    is_streamed: bool
    module: nn.Module


class ModelMemory:
    """Keeps modules on the device.

    Room is made by dropping modules whose weights nobody holds, then the least recently used ones. A module that a run
    holds is never dropped: it would stay in memory all the same. A module larger than the room is streamed by blocks.
    """

    def __init__(self, policy: DevicePolicy | None = None) -> None:
        self.policy = policy or DevicePolicy()
        self.device = self.policy.torch_device()
        self._loaded: OrderedDict[int, _Loaded] = OrderedDict()
        self._lock = RLock()

    def module(self, weights: Weights[M], part: Part) -> M:
        """The module with its patches applied, on the device and in the precision of its part; loaded if needed."""
        with self._lock:
            self._drop_orphans()
            known = self._loaded.get(id(weights))
            if known is None:
                known = self._load(cast("Weights[nn.Module]", weights), part)
                self._loaded[id(weights)] = known
            self._loaded.move_to_end(id(weights))
            return cast(M, known.module)

    def dtype(self, part: Part) -> torch.dtype:
        """Precision of a part on this device."""
        return self.policy.dtype(part, self.device)

    def loaded_bytes(self) -> int:
        """Bytes of all modules that are loaded on the device; what several share counts once."""
        with self._lock:
            self._drop_orphans()
            shared: dict[int, int] = {}
            streamed_bytes = 0
            for loaded in self._loaded.values():
                if loaded.is_streamed:
                    streamed_bytes += loaded.size
                elif loaded.where.device == self.device:
                    shared |= held_tensors(loaded.module)
            return streamed_bytes + sum(shared.values())

    def free(self, *, unload_models: bool = True) -> None:
        """Give memory back to the system; modules that a run holds stay."""
        with self._lock:
            if unload_models:
                for key in list(self._loaded):
                    self._drop(key)
            self._return_memory()

    def limit_bytes(self) -> int:
        """Bytes that models may take together: those of the policy, else what is free and theirs, less the reserve."""
        if self.policy.model_bytes is not None:
            return self.policy.model_bytes
        return max(0, self.loaded_bytes() + self.free_bytes() - self.reserve_bytes())

    def reserve_bytes(self) -> int:
        """Bytes that models leave free."""
        return RESERVES.get(self.device.type, 0) if self.policy.reserve_bytes is None else self.policy.reserve_bytes

    def free_bytes(self) -> int:
        """Bytes that the device has free; on the CPU those of the machine."""
        if self.device.type != "cuda":
            return int(psutil.virtual_memory().available)
        free, _ = torch.cuda.mem_get_info(self.device)
        idle = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return int(free + idle)

    def rows_at_once(self, row: torch.Size, part: Part = Part.DIFFUSION) -> int:
        """How many rows of a latent [channel, ..., height, width] fit through a network at once; at least one."""
        places = row[1:].numel()
        needed = places * ELEMENTS_PER_PLACE * self.dtype(part).itemsize
        return max(1, self.free_bytes() // max(1, needed))

    def _load(self, weights: Weights[nn.Module], part: Part) -> _Loaded:
        asked, weights = weakref.ref(weights), weights.held_as(self.policy.storage(part))
        where = self._placement(weights, part)
        size = weights.size_hint(where.dtype, widened=where.packed)
        # What stands elsewhere takes no room here.
        limit = self._room_for(size) if where.device == self.device else size
        if size <= limit:
            module = placed(weights, where, self._relative(weights, where))
            return _Loaded(asked, weights, where, size, is_streamed=False, module=module)
        module, taken = streamed(weights, Placement(where.device, where.dtype), limit)
        return _Loaded(asked, weights, where, taken, is_streamed=True, module=module)

    def _placement(self, weights: Weights[nn.Module], part: Part) -> Placement:
        """Where a module goes; 8-bit weights are packed where there is room for it beside all that is loaded.

        A packed layer is two to four times as large as one of 8 bits, and several times as fast on a CPU, which casts
        8-bit numbers slowly.
        """
        device = weights.device or self.device
        packed = weights.packable and self.policy.packs(part, device)
        where = Placement(device, weights.dtype or self.policy.dtype(part, device), packed)
        if not packed or not weights.eight_bit:
            return where
        narrow = replace(where, packed=False)
        for known in (where, narrow):
            if self._relative(weights, known) is not None:
                return known
        wide = weights.size_hint(where.dtype, widened=True)
        has_room = where.dtype in PACKABLE_DTYPES and self.loaded_bytes() + wide <= self.limit_bytes()
        return where if has_room else narrow

    def _relative(self, weights: Weights[nn.Module], where: Placement) -> Relative | None:
        """A loaded module that this one can share tensors with."""
        for loaded in reversed(self._loaded.values()):
            if loaded.recipe.source is weights.source and loaded.where == where:
                return None if loaded.is_streamed else Relative(loaded.recipe, loaded.module)
        return None

    def _room_for(self, needed: int) -> int:
        """Make room; gives the bytes that are left for it, which may be fewer."""
        limit = self.limit_bytes()
        for key in list(self._loaded):
            if self.loaded_bytes() + needed <= limit:
                break
            self._drop(key)
        return limit - self.loaded_bytes()

    def _drop(self, key: int) -> None:
        """Let go of a module; one that somebody still holds comes back."""
        loaded = self._loaded[key]
        held = weakref.ref(loaded.module)
        del self._loaded[key]
        kept = loaded.weights, loaded.recipe, loaded.where, loaded.size, loaded.is_streamed
        del loaded
        if held() is not None:
            gc.collect()
        if (module := held()) is not None:
            self._loaded[key] = _Loaded(*kept, module)
            self._loaded.move_to_end(key, last=False)

    def _drop_orphans(self) -> None:
        for key in [key for key, loaded in self._loaded.items() if loaded.weights() is None]:
            self._drop(key)

    def _return_memory(self) -> None:
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        # What the C library keeps for later counts as the process's memory; glibc gives it back when asked.
        if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
            libc.malloc_trim(0)


_default: ModelMemory | None = None


def configure_memory(policy: DevicePolicy) -> ModelMemory:
    """Set the process's policy; whatever was loaded is dropped."""
    global _default
    # Giving memory back walks through all objects of the process: not for nothing.
    if _default is not None and _default.loaded_bytes():
        _default.free()
    _default = ModelMemory(policy)
    return _default


def default_memory() -> ModelMemory:
    """The process's model memory, made with the default policy when none was configured."""
    return _default or configure_memory(DevicePolicy())
