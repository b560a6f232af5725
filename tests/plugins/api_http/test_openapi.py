"""The served OpenAPI document against a table of what the API's public description says of each operation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from comfykernel_api_http.openapi import make_document, operations
from comfykernel_api_http.openapi_details import DETAILS
from comfykernel_api_http.openapi_routes import SERVED_PAST_ROUTER
from comfykernel_api_http.router import API_HANDLERS, SITE_HANDLERS
from comfykernel_api_http.routes import RAW_PARAMETER_ROUTES, RAW_ROUTES
from comfykernel_api_http.tokens import TokenFile

if TYPE_CHECKING:
    from .conftest import Serve, Served

TABLE = json.loads(Path(__file__).with_name("api_table.json").read_text())
EXPECTED: list[dict[str, Any]] = TABLE["operations"]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return make_document(SITE_HANDLERS, API_HANDLERS, version="1.2.3")


def resolved(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def brief(schema: dict[str, Any]) -> object:
    """A schema as the table writes it."""
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    if schema.get("type") == "array":
        return f"[{brief(schema['items'])}]"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"{{{brief(schema['additionalProperties'])}}}"
    return sorted(schema["properties"]) if "properties" in schema else schema.get("type")


def full(document: dict[str, Any], schema: dict[str, Any]) -> Any:
    """A schema with all that is in it: types, members of objects, items of lists."""
    name = brief(schema)
    if isinstance(name, str) and name in TABLE["schemas"]:
        return name
    schema = resolved(document, schema)
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) == 1:
        return full(document, kinds[0])
    if "properties" in schema:
        return {member: full(document, each) for member, each in schema["properties"].items()}
    if schema.get("type") == "array" and "items" in schema and schema["items"]:
        return [full(document, schema["items"])]
    if isinstance(schema.get("additionalProperties"), dict):
        return {"*": full(document, schema["additionalProperties"])}
    return ":".join(str(schema[word]) for word in ("type", "format") if word in schema)


def assert_holds(ours: Any, expected: Any) -> None:
    """Ours says all that is expected, and maybe more; a whole number is a number."""
    if isinstance(expected, dict):
        for member, inner in expected.items():
            assert_holds(ours[member], inner)
    elif isinstance(expected, list):
        assert_holds(ours[0], expected[0])
    else:
        assert ours in (expected, "integer" if expected == "number" else expected)


@pytest.mark.parametrize("expected", EXPECTED, ids=[each["id"] for each in EXPECTED])
def test_operation_is_described(document: dict[str, Any], expected: dict[str, Any]) -> None:
    operation = document["paths"][expected["path"]][expected["method"]]
    assert operation["operationId"] == expected["id"]
    assert operation["tags"] == expected["tags"]
    given = {(each["name"], each["in"]): each for each in operation.get("parameters", [])}
    for parameter in expected["parameters"]:
        ours = given[parameter["name"], parameter["in"]]
        assert ours["required"] == parameter["required"]
        for member in ("type", "format", "default"):
            assert ours["schema"].get(member) == parameter.get(member)
        assert set(ours["schema"].get("enum", ())) == set(parameter.get("enum", ()))


@pytest.mark.parametrize("expected", EXPECTED, ids=[each["id"] for each in EXPECTED])
def test_bodies_and_answers_are_described(document: dict[str, Any], expected: dict[str, Any]) -> None:
    operation = document["paths"][expected["path"]][expected["method"]]
    for status, contents in expected["responses"].items():
        ours = operation["responses"][status].get("content", {})
        for media, schema in contents.items():
            assert brief(ours[media]["schema"]) == schema
    body = expected.get("body")
    if body is not None:
        assert operation["requestBody"]["required"] == body["required"]
        schema = operation["requestBody"]["content"][body["media"]]["schema"]
        if isinstance(body["schema"], str):
            assert brief(schema) == body["schema"]
        else:
            assert set(body["schema"]) <= set(schema["properties"])
            assert set(schema["required"]) == set(body["required_members"])


@pytest.mark.parametrize("name", TABLE["schemas"])
def test_schema_has_the_members(document: dict[str, Any], name: str) -> None:
    expected, ours = TABLE["schemas"][name], document["components"]["schemas"][name]
    if "items" in expected:
        assert [each["type"] for each in ours["prefixItems"]] == expected["items"]
        assert ours["minItems"] == ours["maxItems"] == len(expected["items"])
        return
    assert_holds(full(document, {"properties": ours["properties"]}), expected["members"])
    assert set(expected["required"]) <= set(ours.get("required", ()))


def test_every_operation_has_its_details_and_a_unique_id(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    assert set(DETAILS) <= set(ids)


def test_every_reference_leads_to_a_schema(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    used = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert used <= set(document["components"]["schemas"])


def test_all_routes_served_past_the_router_are_declared() -> None:
    declared = set(SERVED_PAST_ROUTER.values())
    for methods in (*RAW_ROUTES.values(), *RAW_PARAMETER_ROUTES.values()):
        assert declared >= set(methods.values())


async def test_document_is_served(served: Served) -> None:
    answer = await served.http.get("/openapi.json")
    assert answer.headers["content-type"].startswith("application/json")
    document = answer.json()
    assert document["openapi"].startswith("3.1")
    assert document["info"]["version"] == served.kernel.version


async def test_document_tells_how_callers_prove_who_they_are(serve: Serve, tmp_path: Path) -> None:
    async with serve() as served:
        document = (await served.http.get("/openapi.json")).json()
        assert {} in document["security"]
        assert document["components"]["securitySchemes"]["bearerToken"]["scheme"] == "bearer"
    secret, _ = TokenFile(tmp_path / "user" / "comfykernel").create(user="default", label="")
    async with serve() as served:
        headers = {"Authorization": f"Bearer {secret}"}
        document = (await served.http.get("/openapi.json", headers=headers)).json()
        named = {name for each in document["security"] for name in each}
        assert named == set(document["components"]["securitySchemes"])
        assert {} not in document["security"]


async def test_page_shows_every_operation_and_loads_nothing(served: Served) -> None:
    page = await served.http.get("/schema")
    assert page.headers["content-type"].startswith("text/html")
    for operation in EXPECTED:
        assert f'id="{operation["id"]}"' in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "src=" not in page.text


async def test_docs_stays_free(served: Served) -> None:
    assert (await served.http.get("/docs")).status_code == 404
