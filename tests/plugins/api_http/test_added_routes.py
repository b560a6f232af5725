"""Routes of other plugins: who answers them, and what the OpenAPI document says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from comfykernel_api_http.added_routes import AddedRoutes
from comfykernel_api_http.openapi import make_document, operations
from comfykernel_api_http.router import API_HANDLERS, SITE_HANDLERS
from comfykernel_sdk.errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

schemathesis = pytest.importorskip("schemathesis")

CONTENT = {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}
OPERATION = {
    "operationId": "getThing",
    "summary": "Get a thing",
    "tags": ["model"],
    "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
    "responses": {"200": {"description": "It", "content": CONTENT}},
}
THING = {"type": "object", "properties": {"name": {"type": "string"}}}


async def app(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


def document_with(routes: AddedRoutes) -> dict[str, Any]:
    document = make_document(SITE_HANDLERS, API_HANDLERS, version="1", added=routes)
    schemathesis.openapi.from_dict(document).validate()
    return document


def test_described_routes_stand_in_the_document() -> None:
    routes = AddedRoutes()
    routes.add("/things/", app, operations={"get": OPERATION}, schemas={"Thing": THING})
    routes.add("/api/things/", app, operations={"get": OPERATION}, schemas={"Thing": THING})
    document = document_with(routes)
    operation = document["paths"]["/api/things/{id}"]["get"]
    assert {key: operation[key] for key in ("operationId", "summary", "tags", "parameters")} == {
        key: OPERATION[key] for key in ("operationId", "summary", "tags", "parameters")
    }
    assert set(operation["responses"]) == {"200", "401", "403", "500"}
    assert "/things/{id}" not in document["paths"]
    assert document["components"]["schemas"]["Thing"] == THING
    assert set(OPERATION["responses"]) == {"200"}


def test_of_others_it_says_that_they_are_there() -> None:
    routes = AddedRoutes()
    for path in ("/user.css", "/api/things/", "/extensions", "/api/extensions"):
        routes.add(path, app)
    document = document_with(routes)
    style, thing = document["paths"]["/user.css"]["get"], document["paths"]["/api/things/{name}"]["get"]
    assert (style["operationId"], style["tags"]) == ("getUserCss", ["plugins"])
    assert thing["parameters"][0]["name"] == "name"
    # What the transport itself describes stays, whoever answers.
    assert document["paths"]["/api/extensions"] == document_with(AddedRoutes())["paths"]["/api/extensions"]
    assert "/extensions" not in document["paths"]


def test_a_description_may_take_the_place_of_the_transports() -> None:
    routes = AddedRoutes()
    routes.add(
        "/api/extensions", app, operations={"get": {**OPERATION, "operationId": "getExtensions", "parameters": []}}
    )
    routes.add("/other", app, operations={"get": {**OPERATION, "operationId": "getPromptInfo", "parameters": []}})
    routes.schemas["Thing"] = THING
    document = document_with(routes)
    assert document["paths"]["/api/extensions"]["get"]["summary"] == "Get a thing"
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/", {}),
        ("no-slash", {}),
        ("/taken", {}),
        ("/a", {"operations": {"GET": OPERATION}}),
        ("/a", {"operations": {"get": {"responses": {"200": {"description": ""}}}}}),
        ("/a", {"operations": {"get": {"operationId": "a"}}}),
        ("/a", {"schemas": {"Thing": {"type": "string"}}}),
    ],
)
def test_what_cannot_be_added_is_told(path: str, more: dict[str, Any]) -> None:
    routes = AddedRoutes()
    routes.add("/taken", app, schemas={"Thing": THING})
    with pytest.raises(PluginError):
        routes.add(path, app, **more)
    assert routes.app("/a") is None


def test_a_path_that_ends_in_a_slash_stands_for_one_segment() -> None:
    routes = AddedRoutes()
    routes.add("/things/", app)
    assert routes.app("/things/a") is app
    assert routes.app("/things/a/b") is None
    assert routes.app("/things") is None
