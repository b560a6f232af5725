"""The page that a person sees when an address gives an error."""

from __future__ import annotations

from html import escape
from http import HTTPStatus
from typing import TYPE_CHECKING

from .page import render_page

if TYPE_CHECKING:
    from ..schemas import ErrorResponse


def render_error(status: int, response: ErrorResponse) -> bytes:
    """The page as bytes."""
    error = response.error
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Error"
    hint = error.extra_info.get("hint")
    lines = [error.message, error.details, hint if isinstance(hint, str) else ""]
    body = f'<p class="soft">{status} {escape(phrase)}</p><h1>{escape(lines[0])}</h1>'
    body += "".join(f"<p>{escape(line)}</p>" for line in lines[1:] if line)
    body += '<p><a href="/">What this server offers</a></p>'
    return render_page(f"{status} {phrase}", body).encode()
