"""Which shape of an answer a caller gets where the API document and published clients disagree."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def wants_classic_shape(path: str, headers: Mapping[bytes, bytes]) -> bool:
    """Tell whether the caller gets the shape of published clients (else: that of the API document).

    Bare paths are used by client libraries, ``/api`` paths are what the document describes; an official page uses
    ``/api`` and expects the clients' shape.
    """
    return not path.startswith("/api/") or is_page(headers)


def is_page(headers: Mapping[bytes, bytes]) -> bool:
    """Whether an official page asks: it names its user, or the browser vouches for our own origin."""
    if b"comfy-user" in headers or headers.get(b"sec-fetch-site") == b"same-origin":
        return True
    referer = headers.get(b"referer")
    if referer is None:
        return False
    authority = referer.partition(b"://")[2].partition(b"/")[0]
    return bool(authority) and authority.lower() == headers.get(b"host", b"").lower()
