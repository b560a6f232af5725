"""Answers of JSON whose value is a text or null, which the router would send as they are."""

from __future__ import annotations

from litestar import Response

from ..answers import encoder


def json_response(value: object) -> Response[bytes]:
    """Any value as JSON."""
    return Response(encoder.encode(value), media_type="application/json")
