"""Finds the devices to start workers on, without importing torch.

The server must not load a gigabyte of libraries to count graphics cards, so the driver is asked instead: its own tool
first, because in a container it knows which cards are visible, then its entries below ``/proc``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

from comfykernel_sdk.scheduler import DeviceStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from comfykernel_sdk.settings import Settings

AUTO: Final = "auto"
DRIVER_TOOL: Final = "nvidia-smi"
DRIVER_TIMEOUT_S: Final = 10.0
"""A driver that does not answer within this time counts as absent."""
DRIVER_CARDS: Final = Path("/proc/driver/nvidia/gpus")

logger = logging.getLogger(__name__)


async def find_devices(settings: Settings, environ: Mapping[str, str] = os.environ) -> list[str]:
    """The devices of the configuration in its order, ``auto`` replaced by what the machine has.

    With ``execution.cpu`` every accelerator is left out; at least one device comes back.
    """
    wanted = settings.scheduler.devices or (AUTO,)
    if settings.execution.cpu:
        return [name for name in wanted if name == "cpu"] or ["cpu"]
    found: list[str] = []
    for name in wanted:
        found += await _detect(environ) if name == AUTO else [name]
    return found


def unknown_device(name: str) -> DeviceStatus:
    """What the name of a device (``cpu``, ``cuda:0`` ...) tells of it; nothing is known of its memory."""
    kind, _, index = name.partition(":")
    return DeviceStatus(name=name, type=kind, index=int(index) if index.isdecimal() else None)


async def _detect(environ: Mapping[str, str]) -> list[str]:
    count = 0 if _torch_is_cpu_only() else await count_cuda_devices(environ)
    return [f"cuda:{index}" for index in range(count)] or ["cpu"]


def _torch_is_cpu_only() -> bool:
    """Wheels without CUDA say so in their local version, as in ``2.8.0+cpu``."""
    try:
        return metadata.version("torch").endswith("+cpu")
    except metadata.PackageNotFoundError:
        return False


async def count_cuda_devices(environ: Mapping[str, str], *, tool: str = DRIVER_TOOL, cards: Path = DRIVER_CARDS) -> int:
    """How many CUDA devices a process with this environment sees."""
    count = await asyncio.to_thread(_ask_driver, tool)
    if count is None:
        count = _count_entries(cards)
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    return count if visible is None else min(count, _visible(visible))


def _count_entries(directory: Path) -> int:
    return len(list(directory.iterdir())) if directory.is_dir() else 0


def _visible(value: str) -> int:
    """Length of a CUDA_VISIBLE_DEVICES list; as in CUDA it ends at the first entry that names no device."""
    names = [name.strip() for name in value.split(",")]
    return next((index for index, name in enumerate(names) if name in ("", "-1")), len(names))


def _ask_driver(tool: str) -> int | None:
    path = shutil.which(tool)
    if path is None:
        return None
    try:
        listing = subprocess.run([path, "-L"], capture_output=True, check=True, timeout=DRIVER_TIMEOUT_S).stdout
    except subprocess.TimeoutExpired:
        logger.warning("%s did not answer within %g s: no CUDA device is used", tool, DRIVER_TIMEOUT_S)
        return 0
    except (OSError, subprocess.CalledProcessError) as error:
        logger.info("%s can't be asked: %s", tool, error)
        return None
    return sum(line.startswith(b"GPU ") for line in listing.splitlines())
