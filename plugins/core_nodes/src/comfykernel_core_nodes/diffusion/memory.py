"""The one place that decides where models run, in which precision, and which of them stay loaded."""

from __future__ import annotations

import gc
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from threading import RLock
from typing import Literal, TypeVar

import torch
from torch import nn

from comfykernel_core_nodes.diffusion.weights import Weights

M = TypeVar("M", bound=nn.Module)
Precision = Literal["fp32", "fp16", "bf16"]

_DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

# Part of an accelerator's free memory that models may take; the rest is for activations.
MODEL_SHARE = 0.7
# Bytes of models kept loaded on the CPU. Weights that need no conversion are mapped from their file and cost nothing.
CPU_MODEL_BYTES = 16 * 2**30


class Part(StrEnum):
    """What a module does, for the choice of its precision."""

    DIFFUSION = "diffusion"
    TEXT = "text"
    VISION = "vision"
    CONTROL = "control"
    UPSCALER = "upscaler"
    CODEC = "codec"


# Parts whose activations leave the range of float16.
FULL_RANGE = frozenset({Part.CODEC, Part.UPSCALER})


@dataclass(frozen=True, slots=True)
class DevicePolicy:
    """Wishes of the user.

    `device` is "auto" (the first CUDA device, else the CPU), "cpu" or "cuda:N". The precisions overrule the choice for
    all parts, the diffusion model, the text model and the codec; `model_bytes` limits what stays loaded.
    """

    device: str = "auto"
    force: Precision | None = None
    diffusion: Precision | None = None
    text: Precision | None = None
    codec: Precision | None = None
    model_bytes: int | None = None

    def torch_device(self) -> torch.device:
        """The device to run on."""
        if self.device == "auto":
            return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
        return torch.device(self.device)

    def dtype(self, part: Part, device: torch.device) -> torch.dtype:
        """Precision of a part: single on the CPU, half on an accelerator (bfloat16 for the codec, which overflows)."""
        wishes: dict[Part, Precision | None] = {
            Part.DIFFUSION: self.diffusion,
            Part.TEXT: self.text,
            Part.VISION: self.text,
            Part.CONTROL: self.diffusion,
            Part.UPSCALER: self.codec,
            Part.CODEC: self.codec,
        }
        wish = wishes[part] or (self.force if part not in FULL_RANGE or self.force != "fp16" else None)
        if wish is not None:
            return _DTYPES[wish]
        if device.type == "cpu":
            return torch.float32
        if part in FULL_RANGE:
            return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
        return torch.float16


@dataclass(frozen=True, slots=True)
class _Loaded:
    weights: object
    """kept alive, so that its id stays its own"""
    module: nn.Module
    size: int


class ModelMemory:
    """Keeps modules on the device, the least recently used go first."""

    def __init__(self, policy: DevicePolicy | None = None) -> None:
        self.policy = policy or DevicePolicy()
        self.device = self.policy.torch_device()
        self._loaded: OrderedDict[int, _Loaded] = OrderedDict()
        self._lock = RLock()

    def module(self, weights: Weights[M], part: Part) -> M:
        """The module with its patches applied, on the device and in the precision of its part; loaded if needed."""
        with self._lock:
            known = self._loaded.get(id(weights))
            if known is None:
                self._make_room(weights.size_hint(self.dtype(part)))
                module = weights.materialise(self.device, self.dtype(part))
                known = _Loaded(weights, module, _bytes_of(module))
                self._loaded[id(weights)] = known
            self._loaded.move_to_end(id(weights))
            return known.module  # type: ignore[return-value]

    def dtype(self, part: Part) -> torch.dtype:
        """Precision of a part on this device."""
        return self.policy.dtype(part, self.device)

    def loaded_bytes(self) -> int:
        """Bytes of all loaded modules; weights that are shared or mapped from a file count as well."""
        with self._lock:
            return sum(loaded.size for loaded in self._loaded.values())

    def free(self, *, unload_models: bool = True) -> None:
        """Give memory back to the system; modules in use by a run stay alive until it ends."""
        with self._lock:
            dropped = unload_models and bool(self._loaded)
            if dropped:
                self._loaded.clear()
        self._return_memory(collect=dropped)

    def limit_bytes(self) -> int:
        """Bytes that models may take together."""
        if self.policy.model_bytes is not None:
            return self.policy.model_bytes
        if self.device.type == "cuda":
            return int(torch.cuda.mem_get_info(self.device)[1] * MODEL_SHARE)
        return CPU_MODEL_BYTES

    def _make_room(self, needed: int) -> None:
        limit, dropped = self.limit_bytes(), False
        while self._loaded and self.loaded_bytes() + needed > limit:
            self._loaded.popitem(last=False)
            dropped = True
        if dropped:
            self._return_memory(collect=True)

    def _return_memory(self, *, collect: bool) -> None:
        if collect:
            gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _bytes_of(module: nn.Module) -> int:
    tensors = [*module.parameters(), *module.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


_default: ModelMemory | None = None


def configure_memory(policy: DevicePolicy) -> ModelMemory:
    """Set the process's policy; whatever was loaded is dropped."""
    global _default
    if _default is not None:
        _default.free()
    _default = ModelMemory(policy)
    return _default


def default_memory() -> ModelMemory:
    """The process's model memory, made with the default policy when none was configured."""
    return _default or configure_memory(DevicePolicy())
