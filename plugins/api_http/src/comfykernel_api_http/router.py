"""The Litestar application with the routes that are not served past it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

from litestar import Litestar, Request, Response, Router
from litestar.di import Provide
from litestar.exceptions import HTTPException, MethodNotAllowedException, NotFoundException, ValidationException

from .errors import RequestRefused, error_answer
from .handlers import document, internal, jobs, model, pack_files, site, system, userdata, users

if TYPE_CHECKING:
    from .added_routes import AddedRoutes
    from .asgi import AsgiApp
    from .services import Services

MAX_DETAILS: Final = 1_000
"""Characters of what was wrong with parameters."""

API_HANDLERS = (
    model.get_model_types,
    model.get_models,
    model.get_embeddings,
    system.get_system_stats,
    system.get_features,
    system.free_resources,
    system.get_extensions,
    model.view_model_metadata,
    model.get_model_folders,
    model.get_model_files,
    model.get_model_preview,
    users.get_users,
    users.add_user,
    users.get_settings,
    users.save_settings,
    users.get_setting,
    users.save_setting,
    userdata.list_files,
    userdata.list_entries,
    userdata.read_file,
    userdata.write_file,
    userdata.delete_file,
    userdata.move_file,
    pack_files.get_translations,
    pack_files.get_templates,
    pack_files.get_subgraphs,
    jobs.list_jobs,
    jobs.get_job,
    jobs.cancel_job,
    jobs.cancel_jobs,
    jobs.get_job_assets,
    jobs.stream_events,
    jobs.get_node_replacements,
)
"""Served bare and under /api."""

SITE_HANDLERS = (
    site.get_landing_page,
    site.get_template_index,
    document.get_document,
    document.get_schema_page,
    internal.get_logs,
    internal.get_raw_logs,
    internal.subscribe_to_logs,
    internal.get_folder_paths,
    internal.get_files,
)
"""Served bare only."""


def build_router(services: Services, added: AddedRoutes) -> AsgiApp:
    """Make the application; ``added`` are routes of other plugins, which its document describes as well."""
    app = Litestar(
        route_handlers=[
            *SITE_HANDLERS,
            Router(path="/", route_handlers=API_HANDLERS, include_in_schema=False),
            Router(path="/api", route_handlers=API_HANDLERS),
        ],
        dependencies={
            "kernel": Provide(lambda: services.kernel, sync_to_thread=False),
            "services": Provide(lambda: services, sync_to_thread=False),
            "document": Provide(cache(lambda: _make_document(services, added)), sync_to_thread=True),
        },
        exception_handlers={Exception: _answer_error},
        request_max_body_size=services.max_body,
        logging_config=None,
        openapi_config=None,
    )
    return cast("AsgiApp", app)


def _make_document(services: Services, added: AddedRoutes) -> dict[str, Any]:
    from .openapi import make_document

    return make_document(SITE_HANDLERS, API_HANDLERS, version=services.kernel.version, added=added)


def _answer_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    from .application import wants_page

    if isinstance(error, HTTPException):
        error = _refusal(error, request)
    headers = dict(request.scope["headers"])
    answer = error_answer(error, f"{request.method} {request.url.path}", page=wants_page(request.method, headers))
    media = (answer.media or b"").partition(b";")[0].decode()  # the charset is added again
    return Response(
        answer.body,
        status_code=answer.status,
        media_type=media,
        headers={name.decode(): value.decode() for name, value in answer.headers},
    )


def _refusal(error: HTTPException, request: Request[Any, Any, Any]) -> RequestRefused:
    path = request.url.path
    headers = [(n.lower().encode(), v.encode()) for n, v in (error.headers or {}).items()]
    if isinstance(error, NotFoundException) and request.method not in ("GET", "HEAD"):
        # Every path may be a file of the web page: what can't be read there can't be written.
        message = f"{request.method} is not possible at {path}."
        return RequestRefused(405, "method_not_allowed", message, headers=[(b"allow", b"GET, HEAD, OPTIONS")])
    if isinstance(error, NotFoundException):
        return RequestRefused(404, "not_found", f"There is nothing at {path}.", hint="The page / tells what there is.")
    if isinstance(error, MethodNotAllowedException):
        message = f"{request.method} is not possible at {path}."
        return RequestRefused(405, "method_not_allowed", message, headers=headers)
    if isinstance(error, ValidationException):
        wrong = error.extra if isinstance(error.extra, list) else []
        details = "; ".join(f"{each.get('key', '')}: {each.get('message', '')}" for each in wrong)
        return RequestRefused(400, "invalid_parameter", "A parameter has a wrong value.", details=details[:MAX_DETAILS])
    type = "invalid_request" if error.status_code < 500 else "internal_error"
    return RequestRefused(error.status_code, type, error.detail, headers=headers)
