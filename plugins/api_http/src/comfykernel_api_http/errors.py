"""The border where errors become answers: one table of statuses, one form of body."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from comfykernel_sdk import errors as sdk

from .answers import HTML, Answer, encoder
from .schemas import ErrorDetail, ErrorResponse

if TYPE_CHECKING:
    from .asgi import HeaderList

log = logging.getLogger(__name__)

STATUSES: Final[tuple[tuple[type[sdk.ComfykernelError], int], ...]] = (
    (sdk.NotFound, 404),
    (sdk.Conflict, 409),
    (sdk.Forbidden, 403),
    (sdk.TooLarge, 413),
    (sdk.BadInput, 400),
    (sdk.ModelFileError, 400),
    (sdk.Unavailable, 503),
)
"""First match wins; every other error is the server's own: 500."""


class RequestRefused(sdk.BadInput):
    """Raised when HTTP itself says no; carries its status and headers."""

    default_type = "request_refused"

    def __init__(
        self,
        status: int,
        type: str,
        message: str,
        *,
        details: str = "",
        hint: str = "",
        headers: HeaderList | None = None,
    ) -> None:
        super().__init__(message, details=details, hint=hint, type=type)
        self.status = status
        self.headers = headers or []


class ClientGone(Exception):
    """Raised when the client closed the connection before its request was whole."""


def status_of(error: BaseException) -> int:
    """HTTP status of an error."""
    if isinstance(error, RequestRefused):
        return error.status
    if isinstance(error, RecursionError):
        return 400
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 500)


def response_of(error: BaseException) -> ErrorResponse:
    """Body of an error; what is not meant for callers stays in the log."""
    if isinstance(error, sdk.ComfykernelError):
        # Errors of prompts have members that clients know; a hint is not among them.
        hint = "" if isinstance(error, sdk.InvalidPrompt) else error.hint
        extra = {**error.extra_info, "hint": hint} if hint else error.extra_info
        detail = ErrorDetail(type=error.type, message=error.message, details=error.details, extra_info=extra)
        return ErrorResponse(error=detail, node_errors=getattr(error, "node_errors", {}))
    if isinstance(error, RecursionError):
        return ErrorResponse(error=ErrorDetail(type="too_deep", message="The input is nested too deeply."))
    detail = ErrorDetail(
        type="internal_error",
        message="The server failed to answer this request.",
        details=type(error).__name__,
        extra_info={"hint": "The server's log has the traceback."},
    )
    return ErrorResponse(error=detail)


def error_answer(error: BaseException, where: str = "", *, page: bool = False, address: str = "/") -> Answer:
    """The answer for any error; those of the server itself are logged with ``where`` they happened.

    ``page`` gives a page for people instead of JSON; where it asks for a token it goes on at ``address`` with it.
    """
    status = status_of(error)
    if status >= 500 and not isinstance(error, sdk.Unavailable):
        log.error("%s failed", where or "A request", exc_info=error)
    headers = error.headers if isinstance(error, RequestRefused) else []
    response = response_of(error)
    if page:
        from .pages.error_page import POLICY, render_error

        headers = [*headers, (b"content-security-policy", POLICY)]
        return Answer(render_error(status, response, address), status=status, media=HTML, headers=headers)
    return Answer(encoder.encode(response), status=status, headers=headers)
