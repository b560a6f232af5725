"""The description of the API: /openapi.json for programs, /schema for people."""

from __future__ import annotations

import asyncio

from litestar import MediaType, Response, get

from ..injection import TheDocument, TheServices
from ..pages.schema import render_schema
from .json_response import json_response

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; frame-ancestors 'none'"


@get(["/openapi.json", "/schema/openapi.json"], include_in_schema=False)
async def get_document(document: TheDocument, services: TheServices) -> Response[bytes]:
    """The OpenAPI document; where tokens are asked for, it does not say that one may do without."""
    security = [each for each in document["security"] if each or not services.authentication.required]
    return await asyncio.to_thread(json_response, {**document, "security": security})


@get("/schema", media_type=MediaType.HTML, include_in_schema=False, sync_to_thread=True)
def get_schema_page(document: TheDocument) -> Response[str]:
    """The same as a page."""
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
    return Response(render_schema(document), media_type=MediaType.HTML, headers=headers)
