"""Routes of the web page's own: logs, places, lists of files. Served under /internal only."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from litestar import Request, Response, get, patch
from litestar.params import FromPath

from comfykernel_sdk.errors import BadInput, Forbidden
from comfykernel_sdk.storage import FILE_KINDS, FileKind

from ..injection import TheKernel, TheServices
from ..json_reading import read_object
from ..services import Services
from ..shapes import is_page
from .json_response import json_response


@get("/internal/logs", operation_id="getLogs", tags=["internal"], summary="Get logs")
async def get_logs(services: TheServices) -> Response[bytes]:
    """The last lines of the log as one text."""
    return json_response("".join(f"{entry['t']} - {entry['m']}" for entry in services.logs.entries))


@get("/internal/logs/raw", operation_id="getRawLogs", tags=["internal"], summary="Get raw logs")
async def get_raw_logs(services: TheServices) -> dict[str, object]:
    """The last lines of the log with their times."""
    return services.logs.described(list(services.logs.entries))


@patch(
    "/internal/logs/subscribe",
    operation_id="subscribeToLogs",
    tags=["internal"],
    summary="Subscribe to logs",
    status_code=200,
)
async def subscribe_to_logs(services: TheServices, request: Request[Any, Any, Any]) -> dict[str, str]:
    """Send a connected client new lines of the log, or no longer."""
    body = await read_object(request)
    sid = body.get("clientId")
    if not isinstance(sid, str) or "enabled" not in body:
        raise BadInput("The members clientId and enabled are needed.", type="invalid_body")
    connection = services.hub.find(sid)
    if connection is not None:
        if not services.is_own(request.scope, connection.user):
            raise Forbidden("The clientId belongs to another user.", details=connection.sid, type="client_taken")
        connection.wants_logs = bool(body["enabled"])
    return {}


@get("/internal/folder_paths", operation_id="getFolderPaths", tags=["internal"], summary="Get folder paths")
async def get_folder_paths(kernel: TheKernel, request: Request[Any, Any, Any]) -> dict[str, str | list[str]]:
    """Where models are searched: one text a folder, lists for the web page."""
    roots = {name: list(kernel.models.roots(name)) for name in kernel.models.folders()}
    if is_page(dict(request.scope["headers"])):
        return dict(roots)
    return {name: os.pathsep.join(places) for name, places in roots.items()}


@get("/internal/files/{directory_type:str}", operation_id="getFiles", tags=["internal"], summary="Get files")
async def get_files(
    services: TheServices, request: Request[Any, Any, Any], directory_type: FromPath[str]
) -> Response[bytes]:
    """Names of the files of a kind, newest first."""
    if directory_type not in FILE_KINDS:
        raise BadInput("Invalid directory type", details=directory_type, hint=f"One of {', '.join(FILE_KINDS)}.")
    return await asyncio.to_thread(_listed, services, services.bound_user(request.scope), directory_type)


def _listed(services: Services, user: str | None, kind: FileKind) -> Response[bytes]:
    newest = sorted(services.kernel.files.list(kind), key=lambda info: info.modified, reverse=True)
    names = [info.ref.filename for info in newest]
    if user is not None:
        foreign = services.owners.of_others(kind, user)
        names = [name for name in names if name not in foreign]
    return json_response(names)
