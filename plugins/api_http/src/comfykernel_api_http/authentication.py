"""Who sent a request: the bearer of a token, where there are tokens.

A program sends ``Authorization: Bearer TOKEN``. A browser can't do that for pages, pictures and WebSockets: the form on
the page that asks for a token, or opening any page with ``?token=TOKEN``, puts the token into a cookie that scripts
can't read and other sites can't make it send. A WebSocket client that can set no header may give the parameter
``token`` with its handshake.
"""

from __future__ import annotations

import logging
import time
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote, urlencode

from comfykernel_sdk.errors import BadInput, ComfykernelError

from .answers import Answer
from .errors import RequestRefused
from .tokens import Token, TokenFile, matching

if TYPE_CHECKING:
    from collections.abc import Mapping

    from comfykernel_sdk.settings import Settings
    from comfykernel_sdk.storage import UserStore

    from .asgi import Scope
    from .request import Request

log = logging.getLogger(__name__)

COOKIE: Final = "comfykernel_token"
PARAMETER: Final = "token"
NEXT: Final = "next"
LOGIN_PATH: Final = "/login"
MAX_FORM: Final = 16 * 1024
"""Bytes of the form that holds a token."""

CHECK_EVERY_S: Final = 1.0
"""Seconds after which the file of tokens is looked at again: so long a revoked token may still be good."""

MAX_COOKIE_AGE_S: Final = 400 * 24 * 3600
"""Browsers keep no cookie longer."""


class Authentication:
    """Knows the tokens and asks for one as soon as there is any.

    A server that has had tokens goes on asking when the last one is revoked: it must not become open by that.
    """

    def __init__(self, settings: Settings, users: UserStore) -> None:
        self._file = TokenFile(settings.paths.folder("state"))
        self._multi_user = settings.http.multi_user
        self._secure = bool(settings.http.tls_certificate)
        self._users = users
        self._tokens: list[Token] = self._file.tokens()
        self._stamp = self._seen_stamp()
        self._ids: dict[str, str] = {}
        self._checked = time.monotonic()
        self._required = bool(self._tokens)

    @property
    def required(self) -> bool:
        """Whether requests need a token."""
        now = time.monotonic()
        if now - self._checked > CHECK_EVERY_S:
            self._checked = now
            self._refresh()
        return self._required

    def user_of(self, scope: Scope, headers: Mapping[bytes, bytes]) -> str | None:
        """The user of the token that a request carries; nothing where no token is needed.

        Raises:
            RequestRefused: 401, there is no token or it is not known.
        """
        if not self.required:
            return None
        secret = _secret(scope, headers)
        token = matching(secret, self._tokens) if secret else None
        if token is None:
            raise _unknown(given=bool(secret))
        return self._id_of(token.user)

    def login(self, scope: Scope) -> Answer | None:
        """The answer to a page opened with a good token: keeps it in a cookie and leads to the same address.

        Nothing when the address has no token.
        """
        pairs = _parameters(scope)
        secret = next((value for name, value in pairs if name == PARAMETER), "")
        if not self.required or matching(secret, self._tokens) is None:
            return None
        rest = urlencode([(name, value) for name, value in pairs if name != PARAMETER])
        path = scope.get("raw_path", b"/").decode("latin-1")
        return self._remembered(secret, path + (f"?{rest}" if rest else ""))

    async def log_in(self, request: Request) -> Answer:
        """The answer to the form of the page that asks for a token; leads to the address that was asked for.

        Raises:
            RequestRefused: 401, the token is not known.
            BadInput: the body is no such form.
        """
        body = b""
        async for chunk in request.chunks():
            body += chunk
            if len(body) > MAX_FORM:
                raise BadInput("The form is too long.", type="invalid_form")
        form = dict(parse_qsl(body.decode("latin-1"), max_num_fields=10))
        secret = form.get(PARAMETER, "").strip()
        if matching(secret, self._tokens) is None:
            raise _unknown(given=bool(secret))
        return self._remembered(secret, quote(form.get(NEXT, "/"), safe="/?&=%+:,;@"))

    def _remembered(self, secret: str, address: str) -> Answer:
        """Have a browser keep a token and go on at an address of this server."""
        # Slashes in a row would make it the address of another host.
        address = "/" + address.lstrip("/\\")
        cookie = f"{COOKIE}={secret}; Path=/; HttpOnly; SameSite=Strict; Max-Age={MAX_COOKIE_AGE_S}"
        headers = [
            (b"location", address.encode("latin-1")),
            (b"set-cookie", (cookie + ("; Secure" if self._secure else "")).encode("latin-1")),
            (b"cache-control", b"no-store"),
            (b"referrer-policy", b"no-referrer"),
        ]
        return Answer(status=303, media=None, headers=headers)

    def _id_of(self, user: str) -> str:
        """The id of a user that a token names by id or by name; one who is not there yet is made."""
        if not self._multi_user:
            return user
        if user not in self._ids:
            users = self._users.users()
            ids = [user] if user in users else [id for id, name in users.items() if name == user]
            self._ids[user] = ids[0] if ids else self._users.add_user(user)
        return self._ids[user]

    def _seen_stamp(self) -> tuple[int, int, int] | None:
        try:
            stat = self._file.path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def _refresh(self) -> None:
        stamp = self._seen_stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._tokens = self._file.tokens()
        except (ComfykernelError, OSError) as error:
            log.error("No token is accepted: %s", error)
            self._tokens = []
            self._required = True
        self._ids.clear()
        self._required = self._required or bool(self._tokens)


def _secret(scope: Scope, headers: Mapping[bytes, bytes]) -> str:
    """The token that a request carries: in the header, else in the address, else in the cookie."""
    scheme, _, value = headers.get(b"authorization", b"").decode("latin-1").strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    given = next((value for name, value in _parameters(scope) if name == PARAMETER), "")
    if given or b"cookie" not in headers:
        return given
    cookies = SimpleCookie()
    try:
        cookies.load(headers[b"cookie"].decode("latin-1"))
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""


def _parameters(scope: Scope) -> list[tuple[str, str]]:
    query = scope["query_string"].decode("latin-1")
    return parse_qsl(query, keep_blank_values=True) if PARAMETER in query else []


def _unknown(*, given: bool) -> RequestRefused:
    challenge = b'Bearer realm="comfykernel"' + (b', error="invalid_token"' if given else b"")
    return RequestRefused(
        401,
        "unknown_token" if given else "token_needed",
        "The token is not known or was revoked." if given else "This server asks for a token.",
        hint="Send the header Authorization: Bearer TOKEN; in a browser open the address with ?token=TOKEN once. "
        "`comfykernel token create` makes one.",
        headers=[(b"www-authenticate", challenge)],
    )
