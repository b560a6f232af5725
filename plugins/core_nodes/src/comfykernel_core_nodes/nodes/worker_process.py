"""What the settings mean for a worker process that runs these nodes, and what it tells about its memory."""

from __future__ import annotations

import os
from typing import Final

import psutil
import torch
from PIL import Image as PillowImage

from comfykernel_core_nodes.diffusion.memory import DevicePolicy, Precision, configure_memory, default_memory
from comfykernel_sdk.scheduler import DeviceStatus
from comfykernel_sdk.settings import ExecutionSettings, Settings

DEVICE_VARIABLE: Final = "COMFYKERNEL_DEVICE"
"""Environment variable by which a worker is told its device: ``cpu``, ``cuda:0``; else the first of the settings."""


def apply_settings(settings: Settings) -> None:
    """Set device, precision, threads and the largest image for this process. Called once, before nodes run."""
    execution = settings.execution
    device = os.environ.get(DEVICE_VARIABLE) or next(iter(settings.scheduler.devices), "auto")
    configure_memory(_device_policy(execution, device))
    if execution.threads:
        torch.set_num_threads(execution.threads)
    if execution.deterministic:
        torch.use_deterministic_algorithms(True, warn_only=True)
    # Pillow's guard would refuse images below our limit; set here it protects the nodes of other packs as well.
    PillowImage.MAX_IMAGE_PIXELS = execution.max_image_pixels


def _device_policy(execution: ExecutionSettings, device: str) -> DevicePolicy:
    return DevicePolicy(
        device="cpu" if execution.cpu else device,
        force=_wish(execution.precision),
        diffusion=_wish(execution.unet_precision),
        text=_wish(execution.text_encoder_precision),
        codec=_wish(execution.vae_precision),
        diffusion_storage=None if execution.unet_storage == "file" else execution.unet_storage,
        text_storage=None if execution.text_encoder_storage == "file" else execution.text_encoder_storage,
        model_bytes=int(execution.model_memory_gb * 2**30) or None,
        reserve_bytes=int(execution.reserve_memory_gb * 2**30) or None,
    )


def _wish(precision: str) -> Precision | None:
    wishes: dict[str, Precision] = {"fp32": "fp32", "fp16": "fp16", "bf16": "bf16"}
    return wishes.get(precision)


def free(*, unload_models: bool) -> None:
    """Give cached memory back; with ``unload_models`` the models go, too."""
    default_memory().free(unload_models=unload_models)


def loaded_bytes() -> int:
    """Bytes of the models that are loaded."""
    return default_memory().loaded_bytes()


def status() -> DeviceStatus:
    """The device with its memory in bytes; on the CPU that is the machine's memory."""
    device = default_memory().device
    if device.type == "cuda":
        return _cuda_status(device)
    memory = psutil.virtual_memory()
    return DeviceStatus(
        name=device.type, type=device.type, index=device.index,
        vram_total=memory.total, vram_free=memory.available,
        torch_vram_total=memory.total, torch_vram_free=memory.available,
    )  # fmt: skip


def _cuda_status(device: torch.device) -> DeviceStatus:
    free_bytes, total = torch.cuda.mem_get_info(device)
    counters = torch.cuda.memory_stats(device)
    reserved = counters.get("reserved_bytes.all.current", 0)
    # What torch holds without using it can be given out again, so it counts as free.
    idle = reserved - counters.get("active_bytes.all.current", 0)
    return DeviceStatus(
        name=f"{device} {torch.cuda.get_device_name(device)}", type=device.type, index=device.index,
        vram_total=total, vram_free=free_bytes + idle, torch_vram_total=reserved, torch_vram_free=idle,
    )  # fmt: skip
