"""A request as the raw handlers see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote_to_bytes

from comfykernel_sdk.errors import BadInput, TooLarge

from .errors import ClientGone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .asgi import Receive, Scope
    from .services import Services

DRAINED_BEYOND_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of a body that is too large that are still read and dropped, so that the client gets to read the answer."""


class Request:
    """One request.

    Attributes:
        headers: by name in small letters; of a repeated header the last.
        path_value: the decoded last segment of the path, for routes that end in a parameter.
    """

    __slots__ = ("_query", "_receive", "headers", "path_value", "scope", "services")

    def __init__(self, scope: Scope, receive: Receive, services: Services, headers: dict[bytes, bytes]) -> None:
        self.scope = scope
        self.headers = headers
        self.services = services
        self.path_value = ""
        self._receive = receive
        self._query: dict[str, str] | None = None

    @property
    def bound_user(self) -> str | None:
        """The only user whose jobs and files the caller may see and change; nothing: those of all."""
        return self.services.bound_user(self.scope)

    @property
    def path(self) -> str:
        """The decoded path."""
        return str(self.scope["path"])

    @property
    def query(self) -> dict[str, str]:
        """Parameters after the ``?``; of a repeated one the first."""
        if self._query is None:
            text = self.scope["query_string"].decode("latin-1")
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=100) if text else []
            self._query = dict(reversed(pairs))
        return self._query

    def header(self, name: bytes) -> str | None:
        """A header as text."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes.

        Raises:
            TooLarge: it is larger than the server takes; the rest was read and dropped.
            ClientGone: the client hung up.
        """
        limit = self.services.max_body
        seen = 0
        if int(self.headers.get(b"content-length", b"0") or b"0") > limit:
            # Who asks before sending has sent nothing yet.
            asks = self.headers.get(b"expect", b"").lower() == b"100-continue"
            await self._drain(0 if asks else limit + DRAINED_BEYOND_LIMIT)
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk: bytes = message.get("body", b"")
            more = message.get("more_body", False)
            seen += len(chunk)
            if seen > limit:
                await self._drain(DRAINED_BEYOND_LIMIT if more else 0)
            yield chunk

    async def _drain(self, budget: int) -> None:
        more = True
        while more and budget > 0:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            budget -= len(message.get("body", b""))
            more = message.get("more_body", False)
        limit = self.services.max_body
        raise TooLarge(
            "The body of the request is too large.",
            details=f"At most {limit} bytes are taken.",
            hint="http.max_upload_mb (--max-upload-size) sets the limit.",
            extra_info={"max_upload_size": limit},
        )


def check_encoding(scope: Scope) -> None:
    """Refuse an address whose bytes are no text: decoded leniently it would name another file.

    Raises:
        BadInput: the path or the parameters are not UTF-8.
    """
    for part in (scope.get("raw_path") or b"", scope["query_string"]):
        if b"%" in part:
            try:
                unquote_to_bytes(part).decode()
            except UnicodeDecodeError:
                raise BadInput("The address is not encoded as UTF-8.", type="invalid_encoding") from None
