"""Hooks of the transport ``http``: what other plugins may add to what it serves.

Others implement them with ``@hookimpl(optionalhook=True)``. Both are called once, when the transport starts. Requests
to what they add pass the same checks of host, origin and user as all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfykernel_sdk.hooks import hookspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from comfykernel_sdk.json_types import Json
    from comfykernel_sdk.transport import Kernel

    from .added_routes import FindApp
    from .web_additions import RegisterDirectory, RegisterRoute


@hookspec
def register_http_routes(register: RegisterRoute, kernel: Kernel) -> None:
    """Add addresses: ``register("/about", app)``; ``app`` is an ASGI application.

    It is asked for exactly this path, for every method, in place of a handler of the transport's own; for a path that
    ends in ``/`` it is asked for everything one segment below. Raises ``PluginError`` when the path is taken.

    ``operations`` describes the path in the OpenAPI document: operation objects by method in small letters, each with
    ``operationId`` and ``responses``, as a rule with ``summary``, ``tags``, ``parameters``; of a path that ends in
    ``/`` a parameter ``in: path`` names the last segment. Answers to callers that are not known or not allowed are
    added. ``schemas`` are further components that the operations refer to. A path that stands with ``/api`` and without
    is described once; of one that is not described the document says that it is there.
    """


@hookspec
def register_route_finders(register: Callable[[FindApp], None], kernel: Kernel) -> None:
    """Add addresses that are known only while the server runs: ``register(find)``.

    ``find(path)`` gives the ASGI application of a path, or ``None``; it is asked at each request for a path that no
    route of :func:`register_http_routes` has, before files and the transport's own handlers, so it must be quick.
    """


@hookspec
def use_web_sockets(send: Callable[[str, Json, str | None], None], kernel: Kernel) -> None:
    """Take the way to clients: ``send(event, data, client_id)`` sends a message to one, or with ``None`` to all.

    To be called on the server's event loop, from when the transport listens.
    """


@hookspec
def register_web_directories(register: RegisterDirectory, kernel: Kernel) -> None:
    """Add files: ``register("/docs", path)`` serves ``path/a/b.md`` as ``/docs/a/b.md``.

    In place of a directory several may be given, looked through in this order, or a function that returns directories
    by name, asked at each request: the segment after the prefix names one. A longer prefix comes first; where it has
    no such file, the next is tried. A plugin that serves ``/`` replaces the status page if it has an ``index.html``.
    ``lasting=("assets",)`` names first segments below the prefix whose files never change: browsers keep those without
    asking again. ``otherwise`` is a function that is asked in a thread for what no directory has: it gets the path
    below the prefix and returns content and content type, or nothing.

    Texts go out compressed to those who take that; the compressed forms are made once and kept in the state folder.
    """
