"""Where models run and in which precision: the wishes of the user, and what a device does well."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

import torch

Precision = Literal["fp32", "fp16", "bf16"]
Storage = Literal["fp8_e4m3fn", "fp8_e5m2"]

_DTYPES: Final[dict[Precision, torch.dtype]] = {
    "fp32": torch.float32,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
}
STORAGE_TYPES: Final[dict[Storage, torch.dtype]] = {
    "fp8_e4m3fn": torch.float8_e4m3fn,
    "fp8_e5m2": torch.float8_e5m2,
}


class Part(StrEnum):
    """What a module does, for the choice of its precision."""

    DIFFUSION = "diffusion"
    TEXT = "text"
    VISION = "vision"
    CONTROL = "control"
    UPSCALER = "upscaler"
    CODEC = "codec"


# Parts whose activations leave the range of float16.
FULL_RANGE: Final = frozenset({Part.CODEC, Part.UPSCALER})
# Parts that run in bfloat16 on a CPU that computes with it: they take nearly all of the time, and pictures stay what
# they are (docs/memory_and_precision.md tells how that was judged). Text models run once for a prompt, in float32.
CPU_BF16_PARTS: Final = frozenset({Part.DIFFUSION, Part.CONTROL, Part.CODEC})


def has_onednn() -> bool:
    """Whether this torch has oneDNN, which computes convolutions and linear layers on the CPU."""
    return bool(torch.backends.mkldnn.is_available())


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware (AVX512_BF16 or AMX); without it bfloat16 is slower."""
    known = torch.cpu.get_capabilities()
    return has_onednn() and bool(known.get("avx512_bf16") or known.get("amx_bf16"))


@dataclass(frozen=True, slots=True)
class DevicePolicy:
    """Wishes of the user.

    `device` is "auto" (the first CUDA device, else the CPU), "cpu" or "cuda:N". The precisions overrule the choice for
    all parts, the diffusion model, the text model and the codec. `model_bytes` limits what stays loaded; without it,
    models may take what the device has free, less `reserve_bytes`. `packed` lets a CPU keep convolutions and linear
    layers in the order in which it computes with them. `cpu_bf16` tells whether bfloat16 is the default on the CPU.
    The storages have the weights of diffusion models and text models rounded to 8 bits and held so, whatever their file
    has; 8-bit files stay as they are.
    """

    device: str = "auto"
    force: Precision | None = None
    diffusion: Precision | None = None
    text: Precision | None = None
    codec: Precision | None = None
    diffusion_storage: Storage | None = None
    text_storage: Storage | None = None
    model_bytes: int | None = None
    reserve_bytes: int | None = None
    packed: bool = True
    cpu_bf16: bool = field(default_factory=cpu_has_bf16)

    def torch_device(self) -> torch.device:
        """The device to run on."""
        if self.device == "auto":
            return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
        return torch.device(self.device)

    def dtype(self, part: Part, device: torch.device) -> torch.dtype:
        """Precision of a part: what was wished, else what its device does fast without harm to the picture.

        float16 on an accelerator, bfloat16 for parts that leave its range and on a CPU that computes with it.
        """
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
            return torch.bfloat16 if self.cpu_bf16 and part in CPU_BF16_PARTS else torch.float32
        if part in FULL_RANGE:
            return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
        return torch.float16

    def storage(self, part: Part) -> torch.dtype | None:
        """The 8-bit type that weights of a part are rounded to; None: they stay as they are."""
        wishes = {Part.DIFFUSION: self.diffusion_storage, Part.TEXT: self.text_storage}
        wish = wishes.get(part)
        return None if wish is None else STORAGE_TYPES[wish]

    def packs(self, part: Part, device: torch.device) -> bool:
        """Whether a part's layers are packed: where they run many times, on a CPU."""
        return self.packed and device.type == "cpu" and part not in (Part.TEXT, Part.VISION) and has_onednn()
