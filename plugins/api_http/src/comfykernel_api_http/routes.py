"""Routes that are served past the router: exact paths, and paths that end in one parameter."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from .answers import Answer
from .errors import RequestRefused
from .handlers import image, node, queue, workflow
from .request import Request

Handler: TypeAlias = Callable[[Request], Awaitable[Answer]]
Methods: TypeAlias = dict[str, Handler]


async def need_upgrade(request: Request) -> Answer:
    """GET /ws without an upgrade."""
    raise RequestRefused(
        426,
        "upgrade_required",
        "This address serves WebSocket connections only.",
        headers=[(b"upgrade", b"websocket"), (b"connection", b"upgrade")],
    )


_ROUTES: Final[dict[str, Methods]] = {
    "/prompt": {"GET": workflow.get_prompt_info, "POST": workflow.execute_prompt},
    "/queue": {"GET": queue.get_queue_info, "POST": queue.manage_queue},
    "/history": {"GET": workflow.get_history, "POST": workflow.manage_history},
    "/interrupt": {"POST": workflow.interrupt_execution},
    "/object_info": {"GET": node.get_node_info},
    "/view": {"GET": image.view_image},
    "/upload/image": {"POST": image.upload_image},
    "/upload/mask": {"POST": image.upload_mask},
    "/ws": {"GET": need_upgrade},
}

_PARAMETER_ROUTES: Final[dict[str, Methods]] = {
    "/history": {"GET": workflow.get_history_item},
    "/object_info": {"GET": node.get_node_class_info},
}

PREFIXES: Final = ("", "/api")
"""Each route has two spellings."""

RAW_ROUTES: Final[dict[str, Methods]] = {
    prefix + path: methods for path, methods in _ROUTES.items() for prefix in PREFIXES
}

RAW_PARAMETER_ROUTES: Final[dict[bytes, Methods]] = {
    (prefix + path).encode(): methods for path, methods in _PARAMETER_ROUTES.items() for prefix in PREFIXES
}
"""By the path before the last segment, not decoded."""

SOCKET_PATHS: Final = frozenset(prefix + "/ws" for prefix in PREFIXES)
