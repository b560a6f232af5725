"""The ASGI application: guards every request, and takes the ways that clients use most past the router.

Litestar knows all the other routes. It is built after the server listens, in a thread: a request that needs it before
then waits.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from . import __version__
from .access import AccessRules
from .answers import JSON, PIECE, Answer, send_pieces
from .authentication import LOGIN_PATH
from .errors import ClientGone, RequestRefused, error_answer
from .handlers.workflow import prompt_info
from .instant import InstantAnswers
from .request import Request, check_encoding
from .routes import PREFIXES, RAW_PARAMETER_ROUTES, RAW_ROUTES, SOCKET_PATHS
from .services import TOKEN_USER
from .web_additions import WebAdditions

if TYPE_CHECKING:
    from .added_routes import AddedRoutes
    from .asgi import AsgiApp, HeaderList, Message, Receive, Scope, Send
    from .routes import Handler, Methods
    from .services import Services


PREPARE_AFTER_S: Final = 0.5
"""Seconds from listening until the router is built unasked: at first others need the processor more."""


class Application:
    """Serves HTTP requests and WebSocket connections."""

    def __init__(self, services: Services) -> None:
        settings = services.kernel.settings.http
        self._services = services
        self._access = AccessRules(settings)
        self._common: HeaderList = [
            (b"server", f"comfykernel/{services.kernel.version or __version__}".encode("latin-1")),
            (b"x-content-type-options", b"nosniff"),
            *self._access.cors_headers(),
        ]
        if settings.cors_origin is None:
            # Pages of other origins may not even show our pictures.
            self._common.append((b"cross-origin-resource-policy", b"same-origin"))
        self._router: asyncio.Task[AsgiApp] | None = None
        self._additions = WebAdditions(services.kernel)
        services.kernel.call_hook("use_web_sockets", send=services.hub.send, kernel=services.kernel)

    def instant_answers(self) -> InstantAnswers:
        """What can be answered while a request is being read."""
        services = self._services
        makers = {"/prompt": lambda: prompt_info(services.kernel), "/queue": services.queue.at_once}
        bodies = {(prefix + path).encode(): make for path, make in makers.items() for prefix in PREFIXES}
        authentication = services.authentication
        return InstantAnswers(bodies, self._access, self._common, token_needed=lambda: authentication.required)

    async def prepare(self) -> None:
        """Build the router before somebody asks for it."""
        await asyncio.sleep(PREPARE_AFTER_S)
        await self._built_router()

    async def _built_router(self) -> AsgiApp:
        if self._router is None:
            self._router = asyncio.create_task(asyncio.to_thread(_build_router, self._services, self._additions.routes))
        return await asyncio.shield(self._router)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or connection."""
        headers = dict(scope["headers"])
        if scope["type"] == "websocket":
            await self._serve_socket(scope, receive, send, headers)
            return
        method: str = scope["method"]
        request = Request(scope, receive, self._services, headers)
        try:
            self._access.check(headers)
            if method == "OPTIONS":  # asks for headers only, and browsers send no token with it
                answer = Answer(media=None)
            elif scope["path"] == LOGIN_PATH and method == "POST" and self._services.authentication.required:
                answer = await self._services.authentication.log_in(request)
            elif (login := self._authenticate(scope, headers)) is not None:
                answer = login
            else:
                check_encoding(scope)
                methods = RAW_ROUTES.get(scope["path"]) or _parameter_route(request)
                if methods is not None:
                    answer = await _handler(methods, method)(request)
                elif (added := await self._added(request, method)) is not None:
                    answer = added
                else:
                    await self._route(scope, receive, send)
                    return
        except ClientGone:
            return
        except (Exception, RecursionError) as error:  # noqa: BLE001 - the border: every error becomes an answer
            page = wants_page(method, headers) or scope["path"] == LOGIN_PATH
            answer = error_answer(error, f"{method} {scope['path']}", page=page, address=_address(scope))
        try:
            await answer.send(send, self._common, head=method == "HEAD")
        finally:
            if answer.after is not None:
                answer.after()

    async def _serve_socket(self, scope: Scope, receive: Receive, send: Send, headers: dict[bytes, bytes]) -> None:
        from .sockets.endpoint import refuse_socket, serve_socket

        try:
            self._access.check(headers)
            self._authenticate(scope, headers)
            if scope["path"] not in SOCKET_PATHS:
                raise RequestRefused(403, "no_socket", "There is no WebSocket at this address.", hint="It is at /ws.")
            await serve_socket(scope, receive, send, self._services, self._services.user_of(scope))
        except RequestRefused as error:
            await refuse_socket(error_answer(error), send, self._common)

    def _authenticate(self, scope: Scope, headers: dict[bytes, bytes]) -> Answer | None:
        """Note whose request it is; returns the answer to a page that was opened to log in.

        Raises:
            RequestRefused: 401, a token is needed.
        """
        authentication = self._services.authentication
        user = authentication.user_of(scope, headers)
        if user is None:
            return None
        scope[TOKEN_USER] = user
        if scope["type"] == "http" and wants_page(scope["method"], headers):
            return authentication.login(scope)
        return None

    async def _added(self, request: Request, method: str) -> Answer | None:
        """The answer of another plugin's directory."""
        if method not in ("GET", "HEAD") or self._additions.routes.app(request.path) is not None:
            return None
        return await self._additions.answer(request.path, request.headers)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let another plugin's application or the router answer."""
        router = self._additions.routes.app(scope["path"]) or await self._built_router()
        head = scope["method"] == "HEAD"
        # A copy: the server still has to know that the client asked for the head only.
        scope = {**scope, "path": _path_for_router(scope), "method": "GET" if head else scope["method"]}
        common = self._common

        async def send_finished(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    (name, JSON if name == b"content-type" and value == b"application/json" else value)
                    for name, value in message.get("headers", [])
                ] + common
            elif head:
                message = {**message, "body": b""}
            elif len(message.get("body", b"")) > PIECE:
                await send_pieces(send, message["body"], more=message.get("more_body", False))
                return
            await send(message)

        await router(scope, receive, send_finished)


def wants_page(method: str, headers: dict[bytes, bytes]) -> bool:
    """Whether a person looks at the answer: a browser that opens an address."""
    return method == "GET" and b"text/html" in headers.get(b"accept", b"") and b"comfy-user" not in headers


def _build_router(services: Services, added: AddedRoutes) -> AsgiApp:
    from .router import build_router

    return build_router(services, added)


def _parameter_route(request: Request) -> Methods | None:
    """A route whose last segment is a parameter; the segment may hold encoded slashes."""
    raw: bytes = request.scope.get("raw_path") or request.path.encode()
    front, _, last = raw.rpartition(b"/")
    methods = RAW_PARAMETER_ROUTES.get(front)
    if methods is None or not last:
        return None
    request.path_value = unquote(last.decode("latin-1"))
    return methods


def _handler(methods: Methods, method: str) -> Handler:
    handler = methods.get("GET" if method == "HEAD" else method)
    if handler is None:
        allowed = ", ".join(sorted({*methods, "OPTIONS", *(["HEAD"] if "GET" in methods else [])}))
        raise RequestRefused(
            405,
            "method_not_allowed",
            f"{method} is not possible here.",
            hint=f"Allowed: {allowed}.",
            headers=[(b"allow", allowed.encode())],
        )
    return handler


def _address(scope: Scope) -> str:
    """What was asked for, as a browser writes it."""
    query = scope["query_string"].decode("latin-1")
    path = (scope.get("raw_path") or b"/").decode("latin-1")
    return path + (f"?{query}" if query else "")


def _path_for_router(scope: Scope) -> str:
    """The path, decoded so that an encoded slash stays inside its segment (as ``%2F``)."""
    raw: bytes = scope.get("raw_path") or b""
    if b"%2F" in raw or b"%2f" in raw:
        return unquote(raw.replace(b"%2F", b"%252F").replace(b"%2f", b"%252F").decode("latin-1"))
    return str(scope["path"])
