"""The OpenAPI document: paths and parameters from the router's handlers, bodies and schemas from structs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
from litestar import Litestar, Router
from litestar.di import Provide
from litestar.openapi.config import OpenAPIConfig

from .added_routes import TAG
from .authentication import COOKIE, PARAMETER
from .openapi_details import (
    COMMON_ERRORS,
    DETAILS,
    JSON,
    PARAMETER_SCHEMAS,
    PARAMETER_TEXTS,
    STATUS_TEXTS,
    Details,
)
from .openapi_routes import SERVED_PAST_ROUTER
from .schemas import ErrorResponse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from litestar.types import ControllerRouterHandler

    from .added_routes import AddedRoutes

Node: TypeAlias = dict[str, Any]
"""A JSON object of the document."""

REFERENCES: Final = "#/components/schemas/{name}"

ABOUT: Final = (
    "The ComfyUI API as comfykernel serves it. Each path below /api is served without /api as well; there, and for "
    "the official web page, the two operations on the history and the folder paths answer in the older shape that "
    "client libraries read."
)

TAGS: Final = {
    "workflow": "Running workflows, and what became of them",
    "queue": "What waits and runs",
    "image": "Pictures and other files",
    "node": "What nodes there are",
    "model": "What models there are",
    "system": "The server itself",
    "user": "Users, their settings and files",
    "internal": "The web page's own",
    "page": "The official web page's files and lists",
    TAG: "What plugins add",
}

SECURITY_SCHEMES: Final = {
    "bearerToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token that `comfykernel token create` made; needed as soon as there is one.",
    },
    "tokenCookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "The same of a browser: set when a page was opened with a token.",
    },
    "tokenParameter": {
        "type": "apiKey",
        "in": "query",
        "name": PARAMETER,
        "description": "The same of a client that can set no header, for WebSockets.",
    },
}

_NOISE: Final = {"deprecated": False, "allowEmptyValue": False, "allowReserved": False, "headers": {}}
"""Members that say what holds anyway."""


def make_document(
    site: Sequence[ControllerRouterHandler],
    api: Sequence[ControllerRouterHandler],
    *,
    version: str,
    added: AddedRoutes | None = None,
) -> Node:
    """The whole document; ``site`` are handlers that are served bare, ``api`` those that are served below /api.

    ``added`` are the routes of other plugins.
    """
    document = _signatures(site, api)
    schemas, components = _schemas()
    for _, operation in operations(document):
        _complete(operation, DETAILS.get(operation.get("operationId", ""), Details()), schemas)
    for component in components.values():
        _tidy(component)
    components["QueueItem"]["maxItems"] = components["QueueItem"]["minItems"]
    components["ModelMetadata"]["additionalProperties"] = {"type": "string"}
    if added is not None:
        _add_routes(document, added, schemas[str(ErrorResponse)])
        components = {**added.schemas, **components}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "comfykernel",
            "version": version,
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, *({name: []} for name in SECURITY_SCHEMES)],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": document["paths"],
        "components": {
            "schemas": dict(sorted({**document.get("components", {}).get("schemas", {}), **components}.items())),
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


def _add_routes(document: Node, added: AddedRoutes, error: Node) -> None:
    """Put the operations of other plugins into the document; one that is there already counts as described."""
    taken = {operation["operationId"] for _, operation in operations(document)}
    for template, described in added.described():
        item = document["paths"].setdefault(template, {})
        for method, operation in (described or ({} if item else added.undescribed(template))).items():
            replaced = item.get(method, {}).get("operationId")
            while operation["operationId"] in taken and operation["operationId"] != replaced:
                operation["operationId"] += "_"
            taken.add(operation["operationId"])
            operation.setdefault("tags", [TAG])
            for status in COMMON_ERRORS:
                content = {JSON: {"schema": error}}
                operation["responses"].setdefault(
                    str(status), {"description": STATUS_TEXTS[status], "content": content}
                )
            item[method] = operation


def operations(document: Node) -> Iterator[tuple[str, Node]]:
    """Method and path, and the operation."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def _signatures(site: Sequence[ControllerRouterHandler], api: Sequence[ControllerRouterHandler]) -> Node:
    app = Litestar(
        [*site, Router("/api", route_handlers=[*SERVED_PAST_ROUTER, *api])],
        dependencies={
            "kernel": Provide(lambda: None, sync_to_thread=False),
            "services": Provide(lambda: None, sync_to_thread=False),
            "document": Provide(lambda: None, sync_to_thread=False),
        },
        # The path is one that no handler has: this application is asked for its signatures only.
        openapi_config=OpenAPIConfig(title="", version="", use_handler_docstrings=True, path="/unserved"),
        logging_config=None,
    )
    return app.openapi_schema.to_schema()


def _schemas() -> tuple[dict[Any, Node], dict[str, Node]]:
    """A schema for each type that the details name (by the type's spelling), and the components they refer to."""
    types = [ErrorResponse]
    for details in DETAILS.values():
        types += [type for type in (details.answer, details.body) if type is not None]
    schemas, components = msgspec.json.schema_components(types, ref_template=REFERENCES)
    for details in DETAILS.values():
        if details.form:  # forms have no name of their own
            components.pop(details.body.__name__, None)
    return {str(type): schema for type, schema in zip(types, schemas, strict=True)}, components


def _complete(operation: Node, details: Details, schemas: dict[str, Node]) -> None:
    for parameter in operation.get("parameters", ()):
        _complete_parameter(parameter, operation.get("operationId", ""), details)
    if details.body is not None:
        operation["requestBody"] = _body(details, schemas)
    _drop_noise(operation)
    responses = operation["responses"]
    for status, response in responses.items():
        response["description"] = STATUS_TEXTS.get(int(status), response["description"])
        _drop_noise(response)
    success = next(iter(responses.values()))
    if details.answer is not None:
        success["content"] = {JSON: {"schema": schemas[str(details.answer)]}}
    elif details.media:
        success["content"] = {media: _file(media) for media in details.media}
    for status in details.empty:
        responses[str(status)] = {"description": STATUS_TEXTS[status]}
    if operation.get("operationId") == "viewImage":
        responses["206"] = {**success, "description": STATUS_TEXTS[206]}
    if "400" in responses and 400 not in details.errors and operation.get("operationId") in DETAILS:
        del responses["400"]
    for status in {*COMMON_ERRORS, *details.errors}:
        content = {JSON: {"schema": schemas[str(ErrorResponse)]}}
        responses[str(status)] = {"description": STATUS_TEXTS[status], "content": content}
    operation["responses"] = dict(sorted(responses.items()))


def _complete_parameter(parameter: Node, operation_id: str, details: Details) -> None:
    name = parameter["name"]
    _drop_noise(parameter)
    parameter["schema"] = PARAMETER_SCHEMAS.get((operation_id, name), _without_null(parameter["schema"]))
    if name in details.required:
        parameter["required"] = True
        parameter["schema"].pop("default", None)
    if name in PARAMETER_TEXTS:
        parameter["description"] = PARAMETER_TEXTS[name]


def _body(details: Details, schemas: dict[str, Node]) -> Node:
    media = JSON
    schema = schemas[str(details.body)]
    if details.form:
        media = "multipart/form-data"
        _, inner = msgspec.json.schema_components([details.body], ref_template=REFERENCES)
        schema = inner.pop(details.body.__name__)
        _tidy(schema)
    elif schema.get("format") == "binary":
        media = "application/octet-stream"
    return {"required": not details.optional_body, "content": {media: {"schema": schema}}}


def _file(media: str) -> Node:
    # A file of any type may be JSON as well, and a stream is read event by event: neither is one text.
    return {"schema": {"type": "string", "format": "binary"}} if media.startswith("image/") else {}


def _without_null(schema: Node) -> Node:
    """A parameter is left out rather than null."""
    kinds = [kind for kind in schema.get("oneOf", ()) if kind != {"type": "null"}]
    return kinds[0] if len(kinds) == 1 else schema


def _tidy(node: Any) -> None:
    """Say an integer or a number as a number, of what type choices are, and that objects are open; at any depth."""
    if isinstance(node, list):
        for child in node:
            _tidy(child)
    elif isinstance(node, dict):
        if node.get("anyOf") == [{"type": "integer"}, {"type": "number"}]:
            del node["anyOf"]
            node["type"] = "number"
        if isinstance(node.get("enum"), list) and all(isinstance(choice, str) for choice in node["enum"]):
            node["type"] = "string"
        if node.get("type") == "object" and "properties" not in node:
            node.setdefault("additionalProperties", True)
        if node.get("required") == []:
            del node["required"]
        if "default" in node and node["default"] in ("", [], {}):  # what is left out has no value at all
            del node["default"]
        for child in node.values():
            _tidy(child)


def _drop_noise(node: Node) -> None:
    for name, value in _NOISE.items():
        if node.get(name) == value:
            del node[name]
