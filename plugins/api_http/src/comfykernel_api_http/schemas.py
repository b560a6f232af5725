"""Structs of the API's own answers, named as the components of its OpenAPI document."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import msgspec

from comfykernel_sdk.json_types import Json, JsonObject

PromptId: TypeAlias = Annotated[str, msgspec.Meta(extra_json_schema={"format": "uuid"})]
"""A UUID when the server makes it; a client may choose any other text."""


class ErrorDetail(msgspec.Struct, kw_only=True):
    """What was wrong."""

    type: str
    message: str
    details: str = ""
    extra_info: JsonObject = {}


class ErrorResponse(msgspec.Struct, kw_only=True):
    """Body of every answer with a status of 400 or more."""

    error: ErrorDetail
    node_errors: dict[str, Json] = {}


class PromptResponse(msgspec.Struct, kw_only=True):
    """A prompt was accepted. ``node_errors`` tells of outputs that were left out."""

    prompt_id: PromptId
    number: int | float
    node_errors: dict[str, Json] = {}


class ExecInfo(msgspec.Struct, kw_only=True):
    """How many prompts wait or run."""

    queue_remaining: int


class PromptInfo(msgspec.Struct, kw_only=True):
    """State of the queue in brief."""

    exec_info: ExecInfo


class HistoryItem(msgspec.Struct, kw_only=True):
    """A prompt that has ended."""

    prompt_id: PromptId
    number: int | float
    prompt: JsonObject
    extra_data: JsonObject
    outputs_to_execute: list[str]
    outputs: JsonObject
    status: JsonObject
    meta: JsonObject


class UploadResponse(msgspec.Struct, kw_only=True):
    """Where an uploaded file was stored."""

    name: str
    subfolder: str
    type: str


class ServerFeatures(msgspec.Struct, kw_only=True):
    """Capabilities of this server. Sizes in bytes."""

    supports_preview_metadata: bool = True
    max_upload_size: int


class SystemInfo(msgspec.Struct, kw_only=True):
    """The machine and the program. Memory in bytes."""

    os: str
    ram_total: int
    ram_free: int
    comfyui_version: str
    required_frontend_version: str | None
    installed_templates_version: str | None
    required_templates_version: str | None
    python_version: str
    pytorch_version: str
    embedded_python: bool
    argv: list[str]


class DeviceInfo(msgspec.Struct, kw_only=True):
    """One device. Memory in bytes."""

    name: str
    type: str
    index: int | None
    vram_total: int
    vram_free: int
    torch_vram_total: int
    torch_vram_free: int


class WorkerInfo(msgspec.Struct, kw_only=True):
    """One worker, and what it keeps between prompts. Memory in bytes."""

    name: str
    device: str
    state: str
    cache_bytes: int
    """Outputs of nodes, as the cache policy keeps them."""
    model_bytes: int
    """Models that are loaded."""


class SystemStats(msgspec.Struct, kw_only=True):
    """State of the system."""

    system: SystemInfo
    devices: list[DeviceInfo]
    workers: list[WorkerInfo] | msgspec.UnsetType = msgspec.UNSET
    """Only there when asked for."""


class FreeResourcesRequest(msgspec.Struct, kw_only=True):
    """What to let go of."""

    unload_models: bool = False
    free_memory: bool = False
