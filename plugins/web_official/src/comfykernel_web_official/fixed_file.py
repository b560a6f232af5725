"""Small files at the root that the page or the browser asks for, and must not ask for in vain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from .published import page_folder

KEPT_S: Final = 86_400
"""Seconds that a browser keeps one without asking again."""


class FixedFile:
    """An ASGI application that gives the same bytes each time."""

    def __init__(self, content: bytes, content_type: str) -> None:
        self._content = content
        self._headers = [
            (b"content-type", content_type.encode()),
            (b"content-length", b"%d" % len(content)),
            (b"cache-control", b"max-age=%d" % KEPT_S),
        ]

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        """Answer any method: the transport leaves the body out of an answer to HEAD."""
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._content})


def fixed_files() -> dict[str, FixedFile]:
    """By address: the style sheet of the user (the peer has none at the root) and the page's own icon."""
    found = {"/user.css": FixedFile(b"", "text/css; charset=utf-8")}
    icon = page_folder() / "assets" / "favicon.ico"
    if icon.is_file():
        found["/favicon.ico"] = FixedFile(icon.read_bytes(), "image/x-icon")
    return found
