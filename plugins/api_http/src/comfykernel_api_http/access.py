"""Who may talk to the server from a browser: checks of Host, Origin and Sec-Fetch-Site.

A page of another site can make a browser send requests to this server. Three checks keep it out: the Host must be a
name under which this server is known (a rebound DNS name is not), an Origin must be that same host, and the browser
must not call the request cross-site. Programs send none of the last two and are not concerned.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from .errors import RequestRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from comfykernel_sdk.settings import HttpSettings

    from .asgi import HeaderList

REMEMBERED_HOSTS: Final = 100
"""Host values known to be good, so that they are parsed once."""

DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


class AccessRules:
    """Decides about requests by their headers."""

    def __init__(self, settings: HttpSettings) -> None:
        self._cors = settings.cors_origin
        self._names = {"localhost", *(name.strip().lower().rstrip(".") for name in settings.allowed_hosts)}
        self._any_address = not all(is_loopback(a) for a in listen_addresses(settings))
        self._good_hosts: set[bytes] = set()

    def check(self, headers: Mapping[bytes, bytes]) -> None:
        """Let a request pass or refuse it.

        Raises:
            RequestRefused: 403, with what the caller can do about it.
        """
        host = headers.get(b"host")
        if host is not None and host not in self._good_hosts:
            self._check_host(host)
        origin = headers.get(b"origin")
        if origin is not None and not self._origin_allowed(origin, host or b""):
            raise _refused(
                "foreign_origin",
                "Pages of another origin may not use this server.",
                "Start the server with --enable-cors-header ORIGIN to let a page of that origin in.",
            )
        if headers.get(b"sec-fetch-site") == b"cross-site" and self._cors != "*" and not (origin and self._cors):
            raise _refused(
                "cross_site",
                "The browser sent this request on behalf of another site.",
                "Type the server's address into the browser's address bar instead of following a link.",
            )

    def cors_headers(self) -> HeaderList:
        """Headers of every answer when pages of another origin are let in."""
        if self._cors is None:
            return []
        return [
            (b"access-control-allow-origin", self._cors.encode("latin-1")),
            (b"access-control-allow-methods", b"POST, GET, DELETE, PUT, OPTIONS"),
            (b"access-control-allow-headers", b"Content-Type, Authorization"),
            (b"access-control-allow-credentials", b"true"),
        ]

    def _check_host(self, host: bytes) -> None:
        name = host_name(host.decode("latin-1"))
        if name not in self._names and not is_loopback(name) and not (self._any_address and is_address(name)):
            raise _refused(
                "host_not_allowed",
                "The server is not known under this host name.",
                "Add the name to http.allowed_hosts if it is one of this server's.",
            )
        if len(self._good_hosts) < REMEMBERED_HOSTS:
            self._good_hosts.add(host)

    def _origin_allowed(self, origin: bytes, host: bytes) -> bool:
        if self._cors == "*":
            return True
        text = origin.decode("latin-1").lower()
        if self._cors is not None and text == self._cors.lower().rstrip("/"):
            return True
        scheme, mark, authority = text.partition("://")
        port = DEFAULT_PORTS.get(scheme)
        if not mark or port is None:
            return False
        return with_port(authority, port) == with_port(host.decode("latin-1").lower(), port)


def listen_addresses(settings: HttpSettings) -> list[str]:
    """The addresses that the server binds."""
    return [address.strip() for address in settings.listen.split(",") if address.strip()] or ["127.0.0.1"]


def host_name(host: str) -> str:
    """Name or address in a Host header, without port and brackets, in small letters."""
    if host.startswith("["):
        address, _, rest = host[1:].partition("]")
        return address.lower() if not rest or rest.startswith(":") else host
    return host.partition(":")[0].lower().rstrip(".")


def with_port(authority: str, default: str) -> str:
    """``host:port`` with the port always there."""
    bare = authority.rpartition("]")[2] if authority.startswith("[") else authority
    return authority if ":" in bare else f"{authority}:{default}"


def is_address(name: str) -> bool:
    """Whether a name is a literal address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_loopback(name: str) -> bool:
    """Whether a name can only mean this machine."""
    return name == "localhost" or (is_address(name) and ipaddress.ip_address(name).is_loopback)


def _refused(type: str, message: str, hint: str) -> RequestRefused:
    return RequestRefused(403, type, message, hint=hint)
