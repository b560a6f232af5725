"""What a browser finds at the root: a page that tells what this server is and how to use it."""

from __future__ import annotations

from litestar import MediaType, Response, get

from ..injection import TheServices
from ..pages.landing import render_landing

NEVER_CACHED = {"Cache-Control": "no-cache", "Pragma": "no-cache", "Expires": "0"}


@get(["/", "/index.html", "/status"], media_type=MediaType.HTML, include_in_schema=False)
async def get_landing_page(services: TheServices) -> Response[str]:
    """The page."""
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Response(
        render_landing(services),
        media_type=MediaType.HTML,
        headers={**NEVER_CACHED, "Content-Security-Policy": policy},
    )


@get("/templates/index.json", include_in_schema=False)
async def get_template_index() -> Response[list[str]]:
    """Categories of the bundled workflow templates: none."""
    return Response([], headers={"Cache-Control": "no-cache"})
