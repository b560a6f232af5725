"""The transport ``http``: uvicorn inside the kernel's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import uvicorn

from comfykernel_sdk.errors import ConfigError

from .access import is_loopback, listen_addresses
from .application import Application
from .instant import InstantProtocol
from .services import Services

if TYPE_CHECKING:
    from comfykernel_sdk.settings import HttpSettings, Settings
    from comfykernel_sdk.transport import Kernel

KEEP_ALIVE_S: Final = 75
"""Seconds after which a connection without requests is closed; pools of clients keep theirs for about a minute."""

SHUTDOWN_S: Final = 3
"""Seconds that requests get to finish when the server stops."""

MAX_CLIENT_MESSAGE: Final = 1024 * 1024
"""Bytes of a WebSocket message from a client; clients send only their features."""

BACKLOG: Final = 1024


class HttpTransport:
    """HTTP and WebSocket on one or several addresses."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.http
        self._sockets: list[socket.socket] = []
        self._addresses: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._server: uvicorn.Server | None = None
        self._services: Services | None = None

    async def start(self, kernel: Kernel) -> None:
        """Open for clients; returns as soon as it listens. Raises ``OSError`` when the address is taken,
        ``ConfigError`` when it must not be used like this."""
        services = self._services = Services(kernel)
        application = Application(services)
        refuse_open_door(self._settings, token_needed=services.authentication.required)
        config = self._config(application)
        _load(config)
        self._sockets = bind(self._settings)
        self._addresses = services.addresses = [_address(each, tls=self._tls) for each in self._sockets]
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        # Not Server.serve: it would take over the process's signals.
        await server.startup(sockets=self._sockets)
        self._server = server
        logging.getLogger().addHandler(services.logs)
        self._tasks = [
            asyncio.create_task(work) for work in (services.hub.run(), server.main_loop(), application.prepare())
        ]

    async def stop(self) -> None:
        """Close all connections."""
        if self._services is not None:
            logging.getLogger().removeHandler(self._services.logs)
        if self._server is not None:
            self._server.should_exit = True
            await self._server.shutdown(sockets=self._sockets)
            self._server = None
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks = []
        if self._services is not None:
            await asyncio.to_thread(self._services.owners.close)

    def addresses(self) -> list[str]:
        """Where clients reach it."""
        return list(self._addresses)

    @property
    def _tls(self) -> bool:
        return bool(self._settings.tls_certificate)

    def _config(self, application: Application) -> uvicorn.Config:
        return uvicorn.Config(
            application,
            http=partial(InstantProtocol, application.instant_answers()),  # type: ignore[arg-type]
            ws=_socket_protocol,  # type: ignore[arg-type]
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=SHUTDOWN_S,
            ws_max_size=MAX_CLIENT_MESSAGE,
            ws_per_message_deflate=False,
            ssl_certfile=self._settings.tls_certificate or None,
            ssl_keyfile=self._settings.tls_key or None,
            ssl_context_factory=partial(_tls_context, self._settings) if self._tls else None,
        )


def refuse_open_door(settings: HttpSettings, *, token_needed: bool) -> None:
    """Let nobody offer a server to a whole network by accident.

    Raises:
        ConfigError: it would listen beyond this machine without a token, and nobody said that this is meant.
    """
    wide = [address for address in listen_addresses(settings) if not is_loopback(address)]
    if wide and not token_needed and not settings.allow_remote_without_token:
        raise ConfigError(
            f"Refused to listen on {', '.join(wide)}: whoever reaches this machine could use the server.",
            type="token_needed",
            hint="Make a token (`comfykernel token create`), or pass --allow-remote-without-token "
            "(COMFYKERNEL_HTTP__ALLOW_REMOTE_WITHOUT_TOKEN=1) if everybody there may use the server.",
        )


def _load(config: uvicorn.Config) -> None:
    """Make the server's parts ready, the TLS context among them.

    Raises:
        ConfigError: the certificate or its key can't be used.
    """
    try:
        if config.ssl_keyfile and not config.ssl_certfile:
            raise FileNotFoundError("there is a key but no certificate")
        config.load()
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise ConfigError(
            "The certificate or its key can't be used.",
            details=f"http.tls_certificate {config.ssl_certfile}, http.tls_key {config.ssl_keyfile}: {error}",
            hint="Both must be PEM files, readable, and belong together; the key may stand in the certificate's file. "
            "The passphrase of a key that has one is read from http.tls_key_password_file.",
        ) from error


def _tls_context(settings: HttpSettings, config: uvicorn.Config, usual: object) -> ssl.SSLContext:
    """The TLS context. Its own, because the usual one would ask at the terminal for a passphrase that is not given."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings.tls_certificate, settings.tls_key or None, partial(_passphrase, settings))
    return context


def _passphrase(settings: HttpSettings) -> bytes:
    if not settings.tls_key_password_file:
        raise ValueError("the key is encrypted and no passphrase is given")
    lines = Path(settings.tls_key_password_file).read_bytes().splitlines()
    return lines[0] if lines else b""


def bind(settings: HttpSettings) -> list[socket.socket]:
    """Sockets bound to all addresses of the settings; port 0 takes a free one, the same for all.

    Raises:
        OSError: an address can't be had; says which and why.
    """
    sockets: list[socket.socket] = []
    port = settings.port
    try:
        for address in listen_addresses(settings):
            for family, kind, protocol, _, name in socket.getaddrinfo(
                address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[: None if address == "localhost" else 1]:
                sockets.append(_bound(family, kind, protocol, name))
                port = port or sockets[0].getsockname()[1]
    except OSError as error:
        for each in sockets:
            each.close()
        raise _explained(error, address, port) from error
    return sockets


def _bound(family: int, kind: int, protocol: int, name: Any) -> socket.socket:
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(name)
        # Listening now, not later: only this finds out that another server has the address.
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _explained(error: OSError, address: str, port: int) -> OSError:
    where = f"{address}:{port}"
    if error.errno == errno.EADDRINUSE:
        text = f"The address {where} is taken: another server runs there. Stop it or choose another --port."
    elif error.errno == errno.EACCES:
        text = f"The address {where} is not allowed for this user. Choose a --port above 1023."
    else:
        text = f"The server can't listen on {where}: {error.strerror or error}."
    return OSError(error.errno, text)


def _address(sock: socket.socket, *, tls: bool) -> str:
    host, port = sock.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def _socket_protocol(*args: Any, **kwargs: Any) -> asyncio.Protocol:
    """The protocol of WebSockets, imported at the first connection."""
    from .sockets.protocol import SocketProtocol

    return SocketProtocol(*args, **kwargs)
