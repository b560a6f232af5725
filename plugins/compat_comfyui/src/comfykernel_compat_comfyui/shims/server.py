"""The HTTP server: routes of packs, messages to clients."""

from __future__ import annotations

import uuid

from aiohttp import web

from comfykernel_compat_comfyui.worker_side.prompt_server import BinaryEventTypes, PromptServer

__all__ = ["BinaryEventTypes", "PromptServer", "uuid", "web"]
