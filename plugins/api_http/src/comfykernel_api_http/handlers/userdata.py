"""Files of users (workflows and the like): /userdata, /v2/userdata.

The path of a file is one segment with encoded slashes; it is decoded once more here, so that a name that was encoded
twice is understood as well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import unquote

from litestar import Request, Response, delete, get, post
from litestar.params import FromPath, FromQuery

from comfykernel_sdk.errors import BadInput, Forbidden, InvalidPath, NotFound
from comfykernel_sdk.json_types import JsonObject
from comfykernel_sdk.storage import FileInfo

from ..injection import TheServices
from ..media_types import safe_media_type
from ..services import Services
from ..shapes import is_page
from ..stored_files import disposition
from .json_response import json_response

T = TypeVar("T")
AnyRequest = Request[Any, Any, Any]

PAGE_FILES: Final = {"user.css": b"", "comfy.templates.json": b"[]"}
"""What the official page asks for at every load; where a user has no such file, the page gets an empty one."""

PAGE_FOLDERS: Final = frozenset({"workflows", "subgraphs"})
"""The same of folders."""


@get("/userdata", operation_id="listUserFiles", tags=["user"], summary="List files of the user")
async def list_files(
    services: TheServices,
    request: AnyRequest,
    dir: FromQuery[str] = "",
    recurse: FromQuery[str] = "",
    full_info: FromQuery[str] = "",
    split: FromQuery[str] = "",
) -> list[str] | list[list[str]] | list[JsonObject]:
    """Files below a folder: paths, paths with their parts (``split``), or with size and times (``full_info``)."""
    if not dir:
        raise BadInput("Directory not provided", type="no_directory")
    user = _user(services, request)
    try:
        infos = await _guarded(services.kernel.users.list, user, dir, recursive=_true(recurse))
    except NotFound:
        if dir.strip("/") not in PAGE_FOLDERS or not _is_page(request):
            raise
        infos = []
    if _true(full_info):
        return [_described(info, info.ref.filename) for info in infos]
    names = [info.ref.filename for info in infos]
    return [[name, *name.split("/")] for name in names] if _true(split) else names


@get("/v2/userdata", operation_id="listUserEntries", tags=["user"], summary="List files and folders of the user")
async def list_entries(services: TheServices, request: AnyRequest, path: FromQuery[str] = "") -> list[JsonObject]:
    """Folders, then files, below a folder at any depth; paths start at the user's root."""
    user = _user(services, request)
    if user not in await asyncio.to_thread(services.kernel.users.users):
        raise Forbidden("Invalid user specified in request", type="unknown_user")
    folder = unquote(path).strip("/")
    users = services.kernel.users
    infos = await asyncio.to_thread(users.list, user, folder, recursive=True)
    if not infos and folder and not await asyncio.to_thread(_is_folder, services, user, folder):
        raise BadInput("Requested path is not a directory", details=path, type="not_a_directory")
    base = f"{folder}/" if folder else ""
    folders = sorted({parent for info in infos for parent in _parents(info.ref.filename)})
    entries: list[JsonObject] = [
        {"name": name.rpartition("/")[2], "path": base + name, "type": "directory"} for name in folders
    ]
    for info in infos:
        name = info.ref.filename
        file: JsonObject = {"name": name.rpartition("/")[2], "path": base + name, "type": "file"}
        entries.append({**file, "size": info.size, "modified": info.modified})
    return entries


@get("/userdata/{file:str}", operation_id="readUserFile", tags=["user"], summary="Read a file of the user")
async def read_file(services: TheServices, request: AnyRequest, file: FromPath[str]) -> Response[bytes]:
    """Content of a file."""
    name = unquote(file)
    try:
        data = await _guarded(services.kernel.users.read, _user(services, request), name)
    except NotFound:
        if name not in PAGE_FILES or not _is_page(request):
            raise
        data = PAGE_FILES[name]
    filename = name.rpartition("/")[2]
    media, download = safe_media_type(filename, keep_css=True)
    header, value = disposition(filename, download=download)
    return Response(data, media_type=media, headers={header.decode(): value.decode()})


@post(
    "/userdata/{file:str}",
    operation_id="writeUserFile",
    tags=["user"],
    summary="Write a file of the user",
    status_code=200,
)
async def write_file(
    services: TheServices,
    request: AnyRequest,
    file: FromPath[str],
    overwrite: FromQuery[str] = "",
    full_info: FromQuery[str] = "",
) -> Response[bytes]:
    """Write a file."""
    name = unquote(file)
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
    users = services.kernel.users
    info = await _guarded(users.write, _user(services, request), name, data, overwrite=overwrite != "false")
    return _written(info, name, full_info)


@delete("/userdata/{file:str}", operation_id="deleteUserFile", tags=["user"], summary="Remove a file of the user")
async def delete_file(services: TheServices, request: AnyRequest, file: FromPath[str]) -> None:
    """Remove a file."""
    await _guarded(services.kernel.users.delete, _user(services, request), unquote(file))


@post(
    "/userdata/{file:str}/move/{destination:str}",
    operation_id="moveUserFile",
    tags=["user"],
    summary="Rename a file of the user",
    status_code=200,
)
async def move_file(
    services: TheServices,
    request: AnyRequest,
    file: FromPath[str],
    destination: FromPath[str],
    overwrite: FromQuery[str] = "",
    full_info: FromQuery[str] = "",
) -> Response[bytes]:
    """Rename a file."""
    name = unquote(destination)
    move = services.kernel.users.move
    info = await _guarded(move, _user(services, request), unquote(file), name, overwrite=overwrite != "false")
    return _written(info, name, full_info)


def _is_page(request: AnyRequest) -> bool:
    return is_page(dict(request.scope["headers"]))


def _user(services: Services, request: AnyRequest) -> str:
    return services.user_of(request.scope)


async def _guarded(call: Callable[..., T], *args: object, **options: object) -> T:
    """Call the store in a thread; a path that leaves the user's folder is forbidden."""
    try:
        return await asyncio.to_thread(call, *args, **options)
    except InvalidPath as error:
        raise Forbidden(error.message, details=error.details, hint=error.hint, type=error.type) from None


def _written(info: FileInfo, path: str, full_info: str) -> Response[bytes]:
    return json_response(_described(info, path) if _true(full_info) else path)


def _described(info: FileInfo, path: str) -> JsonObject:
    return {"path": path, "size": info.size, "modified": info.modified, "created": info.created}


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _is_folder(services: Services, user: str, folder: str) -> bool:
    """Whether a path that lists as empty is a folder: the files of its parent do not name it."""
    parent, _, name = folder.rpartition("/")
    return name not in [info.ref.filename for info in services.kernel.users.list(user, parent)]


def _true(text: str) -> bool:
    return text.lower() == "true"
