"""The description of the API: /openapi.json for programs, /schema for people."""

from __future__ import annotations

from litestar import MediaType, Response, get

from ..injection import TheDocument
from ..pages.schema import render_schema
from .json_response import json_response

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; frame-ancestors 'none'"


@get(["/openapi.json", "/schema/openapi.json"], include_in_schema=False)
async def get_document(document: TheDocument) -> Response[bytes]:
    """The OpenAPI document."""
    return json_response(document)


@get("/schema", media_type=MediaType.HTML, include_in_schema=False)
async def get_schema_page(document: TheDocument) -> Response[str]:
    """The same as a page."""
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
    return Response(render_schema(document), media_type=MediaType.HTML, headers=headers)
