"""Devices, memory and interruption."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence

import torch

from comfykernel_compat_comfyui import running_nodes
from comfykernel_compat_comfyui.devices import device_of_models, free_memory_of, loaded, total_memory_of
from comfykernel_compat_comfyui.devices import free as _free
from comfykernel_compat_comfyui.running_nodes import InterruptProcessingException

__all__ = ["InterruptProcessingException"]

Dtypes = Sequence[torch.dtype]


class VRAMState(enum.Enum):
    """How freely memory of an accelerator is used; here always ``NORMAL_VRAM``, or ``DISABLED`` without one."""

    DISABLED = 0
    NO_VRAM = 1
    LOW_VRAM = 2
    NORMAL_VRAM = 3
    HIGH_VRAM = 4
    SHARED = 5


class CPUState(enum.Enum):
    """Kind of the device."""

    GPU = 0
    CPU = 1
    MPS = 2


OOM_EXCEPTION = torch.cuda.OutOfMemoryError
XFORMERS_IS_AVAILABLE = False
XFORMERS_ENABLED_VAE = False
ENABLE_PYTORCH_ATTENTION = True
DISABLE_SMART_MEMORY = False
FORCE_FP32 = False
MIN_WEIGHT_MEMORY_RATIO = 0.4
directml_enabled = False
current_loaded_models: list[object] = []
"""Always empty: which models are loaded is decided elsewhere."""

cpu_state = CPUState.GPU if device_of_models().type == "cuda" else CPUState.CPU
vram_state = VRAMState.NORMAL_VRAM if cpu_state is CPUState.GPU else VRAMState.DISABLED
set_vram_to = vram_state
total_vram = total_memory_of(device_of_models()) / 2**20
total_ram = total_memory_of(torch.device("cpu")) / 2**20


def get_torch_device() -> torch.device:
    """The device that models run on."""
    return device_of_models()


def get_torch_device_name(device: torch.device | str) -> str:
    """A device for people."""
    device = torch.device(device)
    if device.type == "cuda":
        return f"{device} {torch.cuda.get_device_name(device)} : native"
    return device.type


def _host() -> torch.device:
    return torch.device("cpu")


def unet_offload_device() -> torch.device:
    """Where diffusion models wait."""
    return _host()


def unet_inital_load_device(parameters: int, dtype: torch.dtype) -> torch.device:
    """Where diffusion models are loaded to."""
    return _host()


def intermediate_device() -> torch.device:
    """Where latents, conditions and images are between two nodes."""
    return _host()


def vae_device() -> torch.device:
    """Where autoencoders run."""
    return device_of_models()


def vae_offload_device() -> torch.device:
    """Where autoencoders wait."""
    return _host()


def text_encoder_device() -> torch.device:
    """Where text models run."""
    return device_of_models()


def text_encoder_offload_device() -> torch.device:
    """Where text models wait."""
    return _host()


def text_encoder_initial_device(load_device: torch.device, offload_device: torch.device, model_size: int = 0) -> (
    torch.device
):  # fmt: skip
    """Where text models are loaded to."""
    return offload_device


def is_device_type(device: torch.device | str | None, type: str) -> bool:
    """Whether a device is of a kind."""
    return device is not None and torch.device(device).type == type


def is_device_cpu(device: torch.device | str | None) -> bool:
    """Whether a device is the CPU."""
    return is_device_type(device, "cpu")


def is_device_mps(device: torch.device | str | None) -> bool:
    """Whether a device is of Apple's kind."""
    return is_device_type(device, "mps")


def is_device_cuda(device: torch.device | str | None) -> bool:
    """Whether a device is a CUDA device."""
    return is_device_type(device, "cuda")


def is_device_xpu(device: torch.device | str | None) -> bool:
    """Whether a device is of Intel's kind."""
    return is_device_type(device, "xpu")


def is_nvidia() -> bool:
    """Whether models run on an NVIDIA device."""
    return device_of_models().type == "cuda" and torch.version.hip is None


def is_amd() -> bool:
    """Whether models run on an AMD device."""
    return device_of_models().type == "cuda" and torch.version.hip is not None


def is_intel_xpu() -> bool:
    """Whether models run on an Intel device."""
    return device_of_models().type == "xpu"


def is_directml_enabled() -> bool:
    """Never: DirectML is not used."""
    return False


def cpu_mode() -> bool:
    """Whether models run on the CPU."""
    return device_of_models().type == "cpu"


def mps_mode() -> bool:
    """Whether models run on an Apple device."""
    return device_of_models().type == "mps"


def xformers_enabled() -> bool:
    """Never: attention is torch's own."""
    return False


def xformers_enabled_vae() -> bool:
    """Never."""
    return False


def pytorch_attention_enabled() -> bool:
    """Always: attention is torch's own."""
    return True


def pytorch_attention_enabled_vae() -> bool:
    """Always."""
    return True


def pytorch_attention_flash_attention() -> bool:
    """Whether torch's attention may use its fast kernels."""
    return device_of_models().type == "cuda"


def sage_attention_enabled() -> bool:
    """Never."""
    return False


def flash_attention_enabled() -> bool:
    """Never: the package of that name is not used."""
    return False


def get_autocast_device(device: torch.device | str | object) -> str:
    """Kind of a device, as torch's autocast names it."""
    return getattr(device, "type", None) or torch.device(str(device)).type


def supports_dtype(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether a device computes in a precision."""
    return dtype is torch.float32 or (not is_device_cpu(device) and dtype in (torch.float16, torch.bfloat16))


def supports_cast(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether a device converts to a precision."""
    return True


def supports_fp8_compute(device: torch.device | None = None) -> bool:
    """Never: 8-bit weights are widened before they are used."""
    return False


def should_use_fp16(
    device: torch.device | None = None, model_params: int = 0, prioritize_performance: bool = True,
    manual_cast: bool = False,
) -> bool:  # fmt: skip
    """Whether half precision is the better choice."""
    return not is_device_cpu(device or device_of_models())


def should_use_bf16(
    device: torch.device | None = None, model_params: int = 0, prioritize_performance: bool = True,
    manual_cast: bool = False,
) -> bool:  # fmt: skip
    """Whether bfloat16 may be used."""
    device = device or device_of_models()
    return is_device_cuda(device) and torch.cuda.is_bf16_supported()


def unet_dtype(
    device: torch.device | None = None, model_params: int = 0,
    supported_dtypes: Dtypes = (torch.float16, torch.bfloat16, torch.float32), weight_dtype: torch.dtype | None = None,
) -> torch.dtype:  # fmt: skip
    """Precision of diffusion models."""
    wanted = torch.float16 if should_use_fp16(device) else torch.float32
    return wanted if wanted in supported_dtypes else torch.float32


def unet_manual_cast(
    weight_dtype: torch.dtype, inference_device: torch.device,
    supported_dtypes: Dtypes = (torch.float16, torch.bfloat16, torch.float32),
) -> torch.dtype | None:  # fmt: skip
    """The precision to compute in when the weights have one that the device can't compute in."""
    return None if supports_dtype(inference_device, weight_dtype) else unet_dtype(inference_device)


def vae_dtype(device: torch.device | None = None, allowed_dtypes: Dtypes = ()) -> torch.dtype:
    """Precision of autoencoders."""
    return torch.bfloat16 if should_use_bf16(device) else torch.float32


def text_encoder_dtype(device: torch.device | None = None) -> torch.dtype:
    """Precision of text models."""
    return torch.float16 if should_use_fp16(device) else torch.float32


def dtype_size(dtype: torch.dtype) -> int:
    """Bytes of one number."""
    return dtype.itemsize


def get_total_memory(dev: torch.device | None = None, torch_total_too: bool = False) -> float | tuple[float, float]:
    """Bytes of a device; with ``torch_total_too`` also what torch may use of it."""
    total = total_memory_of(dev or device_of_models())
    return (total, total) if torch_total_too else total


def get_free_memory(dev: torch.device | None = None, torch_free_too: bool = False) -> float | tuple[float, float]:
    """Bytes of a device that are free; with ``torch_free_too`` also those that torch holds without using them."""
    free, held = free_memory_of(dev or device_of_models())
    return (free, held) if torch_free_too else free


def maximum_vram_for_weights(device: torch.device | None = None) -> float:
    """Bytes of a device that models may take."""
    return total_memory_of(device or device_of_models()) * 0.88


def minimum_inference_memory() -> float:
    """Bytes of a device that models leave free."""
    return 1024**3


extra_reserved_memory = minimum_inference_memory


def load_models_gpu(
    models: Iterable[object], memory_required: float = 0, force_patch_weights: bool = False,
    minimum_memory_required: float | None = None, force_full_load: bool = False,
) -> None:  # fmt: skip
    """Have models on their device before they are used."""
    for model in models:
        loaded(model)


def load_model_gpu(model: object) -> None:
    """Have a model on its device before it is used."""
    loaded(model)


def loaded_models(only_currently_used: bool = False) -> list[object]:
    """Always empty: which models are loaded is decided elsewhere."""
    return []


def free_memory(memory_required: float, device: torch.device, keep_loaded: Iterable[object] = ()) -> list[object]:
    """Give memory back when less than this is free."""
    if free_memory_of(device)[0] < memory_required:
        _free(unload_models=True)
    return []


def soft_empty_cache(force: bool = False) -> None:
    """Give memory back that torch holds without using it."""
    _free(unload_models=False)


def unload_all_models() -> None:
    """Let go of all models."""
    _free(unload_models=True)


def cleanup_models() -> None:
    """Nothing is left over: models are let go when nobody needs them."""


def cleanup_models_gc() -> None:
    """Nothing is left over."""


def device_supports_non_blocking(device: torch.device) -> bool:
    """Whether copies to a device may overlap with other work."""
    return is_device_cuda(device)


def device_should_use_non_blocking(device: torch.device) -> bool:
    """Copies wait for their end."""
    return False


def force_channels_last() -> bool:
    """Never."""
    return False


def force_upcast_attention_dtype() -> None:
    """Attention keeps its precision."""


def cast_to(
    weight: torch.Tensor, dtype: torch.dtype | None = None, device: torch.device | None = None,
    non_blocking: bool = False, copy: bool = False, stream: object = None,
) -> torch.Tensor:  # fmt: skip
    """A tensor in another precision and on another device."""
    return weight.to(device=device, dtype=dtype, non_blocking=non_blocking, copy=copy)


def cast_to_device(
    tensor: torch.Tensor, device: torch.device, dtype: torch.dtype | None, copy: bool = False
) -> torch.Tensor:
    """A tensor in another precision and on another device."""
    return tensor.to(device=device, dtype=dtype, copy=copy)


def interrupt_current_processing(value: bool = True) -> None:
    """Have the running prompt stop at its next step (or not, after all)."""
    (running_nodes.interrupt_wanted.set if value else running_nodes.interrupt_wanted.clear)()


def processing_interrupted() -> bool:
    """Whether the running prompt is to stop."""
    return running_nodes.interrupted()


def throw_exception_if_processing_interrupted() -> None:
    """Stop here when the prompt is to stop.

    Raises:
        InterruptProcessingException: it is.
    """
    if running_nodes.interrupted():
        running_nodes.interrupt_wanted.clear()
        raise InterruptProcessingException
