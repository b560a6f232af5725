"""Users and their settings: /users, /settings."""

from __future__ import annotations

import asyncio
from typing import Any

from litestar import Request, Response, get, post
from litestar.params import FromPath

from comfykernel_sdk.errors import BadInput, Conflict, Forbidden, NotFound
from comfykernel_sdk.json_types import JsonObject

from ..errors import RequestRefused
from ..injection import TheServices
from ..json_reading import read_json, read_object
from ..services import Services
from .json_response import json_response

ANSWERS_EMPTY: dict[str, str] = {}


@get("/users", operation_id="getUsers", tags=["user"], summary="Get users")
async def get_users(services: TheServices, request: Request[Any, Any, Any]) -> JsonObject:
    """The users by id when there are several (of them only the caller's own, if bound); else that the one is there."""
    if not services.kernel.settings.http.multi_user:
        return {"storage": "server", "migrated": True}
    bound = services.bound_user(request.scope)
    users = await asyncio.to_thread(services.kernel.users.users)
    return {"storage": "server", "users": {id: name for id, name in users.items() if bound in (None, id)}}


@post("/users", operation_id="addUser", tags=["user"], summary="Add a user", status_code=200)
async def add_user(services: TheServices, request: Request[Any, Any, Any]) -> Response[bytes]:
    """Create a user; answers its id."""
    if services.bound_user(request.scope) is not None:
        raise Forbidden(
            "Your token belongs to one user.", hint="`comfykernel token create --user NAME` makes others.", type="bound"
        )
    body = await read_object(request)
    name = body.get("username")
    if not isinstance(name, str):
        raise BadInput("The member username must be a text.", type="invalid_body")
    try:
        return json_response(await asyncio.to_thread(services.kernel.users.add_user, name))
    except Conflict as error:
        raise BadInput(error.message, type=error.type) from None


@get("/settings", operation_id="getSettings", tags=["user"], summary="Get all settings")
async def get_settings(services: TheServices, request: Request[Any, Any, Any]) -> JsonObject:
    """All settings of the user."""
    return await _settings(services, request)


@get("/settings/{id:str}", operation_id="getSetting", tags=["user"], summary="Get a setting")
async def get_setting(services: TheServices, request: Request[Any, Any, Any], id: FromPath[str]) -> Response[bytes]:
    """One setting, or null."""
    settings = await _settings(services, request)
    return json_response(settings.get(id.replace("%2F", "/")))


@post("/settings", operation_id="saveSettings", tags=["user"], summary="Set several settings", status_code=200)
async def save_settings(services: TheServices, request: Request[Any, Any, Any]) -> dict[str, str]:
    """Set several settings."""
    await _save(services, request, await read_object(request))
    return ANSWERS_EMPTY


@post("/settings/{id:str}", operation_id="saveSetting", tags=["user"], summary="Set a setting", status_code=200)
async def save_setting(services: TheServices, request: Request[Any, Any, Any], id: FromPath[str]) -> dict[str, str]:
    """Set one setting to the JSON value of the body."""
    await _save(services, request, {id.replace("%2F", "/"): await read_json(request)})
    return ANSWERS_EMPTY


async def _settings(services: Services, request: Request[Any, Any, Any]) -> JsonObject:
    user = services.user_of(request.scope)
    try:
        return await asyncio.to_thread(services.kernel.users.settings, user)
    except NotFound as error:
        raise _unknown_user(error) from None


async def _save(services: Services, request: Request[Any, Any, Any], changes: JsonObject) -> None:
    user = services.user_of(request.scope)
    try:
        await asyncio.to_thread(services.kernel.users.save_settings, user, changes)
    except NotFound as error:
        raise _unknown_user(error) from None


def _unknown_user(error: NotFound) -> RequestRefused:
    return RequestRefused(401, "unknown_user", error.message)
