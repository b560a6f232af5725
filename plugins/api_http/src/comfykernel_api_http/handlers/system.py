"""System information and memory: /system_stats, /features, /free, /extensions."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import psutil
from litestar import Request, get, post
from litestar.params import FromQuery

from comfykernel_sdk.json_types import JsonObject

from ..features import server_features
from ..injection import TheKernel, TheServices
from ..json_reading import read_object
from ..schemas import DeviceInfo, SystemInfo, SystemStats, WorkerInfo

if TYPE_CHECKING:
    from comfykernel_sdk.transport import Kernel

COMPATIBLE_VERSION: Final = "0.3.64"
"""Version of the API that is spoken; clients compare it with what they need."""

REQUIRED_FRONTEND: Final = "1.27.10"
"""Oldest web page that knows this API; an older one tells its user to update."""

TEMPLATES_PACKAGES: Final = ("comfyui-workflow-templates", "comfyui-workflow-templates-json")
"""The first that is installed; the second is the part of the first that holds the workflows."""


@get("/system_stats", operation_id="getSystemStats", tags=["system"], summary="Get statistics", sync_to_thread=True)
def get_system_stats(kernel: TheKernel, *, workers: FromQuery[bool] = False) -> SystemStats:
    """Memory, versions, devices; with ``workers`` also what each worker keeps between prompts."""
    stats = system_stats(kernel)
    if workers:
        stats.workers = [
            WorkerInfo(
                name=worker.name,
                device=worker.device.name,
                state=worker.state,
                cache_bytes=worker.cache_bytes,
                model_bytes=worker.model_bytes,
            )
            for worker in kernel.workers()
        ]
    return stats


@get("/features", operation_id="getFeatures", tags=["system"], summary="Get server feature flags")
async def get_features(services: TheServices, request: Request[Any, Any, Any]) -> JsonObject:
    """What this server can do."""
    return server_features(max_upload_size=services.max_body, headers=dict(request.scope["headers"]))


@post("/free", operation_id="freeResources", tags=["system"], summary="Free resources", status_code=200)
async def free_resources(kernel: TheKernel, request: Request[Any, Any, Any]) -> dict[str, str]:
    """Let workers drop models and cached outputs, after the prompt that runs."""
    body = await read_object(request)
    unload, free = bool(body.get("unload_models")), bool(body.get("free_memory"))
    if unload or free:
        await kernel.free(unload_models=unload, free_memory=free)
    return {}


@get("/extensions", operation_id="getExtensions", tags=["system"], summary="Get extensions")
async def get_extensions() -> list[str]:
    """Paths of the scripts that packs add to the web page."""
    return []


def system_stats(kernel: Kernel) -> SystemStats:
    """The state of the machine and of the workers' devices."""
    memory = psutil.virtual_memory()
    workers = kernel.workers()
    templates = next(filter(None, map(_installed_version, TEMPLATES_PACKAGES)), None)
    system = SystemInfo(
        os=os.name,
        ram_total=memory.total,
        ram_free=memory.available,
        comfyui_version=COMPATIBLE_VERSION,
        required_frontend_version=REQUIRED_FRONTEND,
        installed_templates_version=templates,
        required_templates_version=templates,
        python_version=sys.version,
        pytorch_version=next((worker.torch_version for worker in workers if worker.torch_version), ""),
        embedded_python=False,
        argv=list(sys.argv),
    )
    devices: dict[str, DeviceInfo] = {}
    for worker in workers:
        device = worker.device
        cpu = device.type == "cpu"
        total, free = (memory.total, memory.available) if cpu else (device.vram_total, device.vram_free)
        devices[device.name] = DeviceInfo(
            name=device.name,
            type=device.type,
            index=device.index,
            vram_total=total,
            vram_free=free,
            torch_vram_total=total if cpu else device.torch_vram_total,
            torch_vram_free=free if cpu else device.torch_vram_free,
        )
    return SystemStats(system=system, devices=list(devices.values()))


@cache
def _installed_version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
