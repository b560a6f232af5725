"""The page that a person sees when an address gives an error; where a token is missing it asks for one."""

from __future__ import annotations

from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from ..authentication import LOGIN_PATH, NEXT, PARAMETER
from .page import card, render_page

if TYPE_CHECKING:
    from ..schemas import ErrorResponse

POLICY: Final = (
    b"default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'; "
    b"frame-ancestors 'none'"
)


def render_error(status: int, response: ErrorResponse, address: str) -> bytes:
    """The page as bytes; ``address`` is what was asked for."""
    error = response.error
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Error"
    hint = error.extra_info.get("hint")
    lines = [error.message, error.details, hint if isinstance(hint, str) else ""]
    body = f'<p class="soft">{status} {escape(phrase)}</p><h1>{escape(lines[0])}</h1>'
    outside = status == HTTPStatus.UNAUTHORIZED and error.type != "unknown_user"
    if outside:
        body += card("Log in", _form(address))
    body += "".join(f"<p>{escape(line)}</p>" for line in lines[1:] if line)
    if not outside:
        body += '<p><a href="/">What this server offers</a></p>'
    return render_page(f"{status} {phrase}", body).encode()


def _form(address: str) -> str:
    # A token in the address was not known: it must not come back.
    address = "/" if address.startswith(LOGIN_PATH) or f"{PARAMETER}=" in address else address
    return (
        f'<form method="post" action="{LOGIN_PATH}" class="login">'
        f'<label>Token <input name="{PARAMETER}" type="password" autocomplete="current-password" required autofocus>'
        f'</label><input type="hidden" name="{NEXT}" value="{escape(address, quote=True)}">'
        "<button>Log in</button></form>"
        '<p class="soft">This browser keeps it in a cookie that pages and scripts can\'t read.</p>'
    )
