"""The part of this plugin in the server, one for each kernel."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Final

from ..compat_settings import NAME, CompatSettings
from .pack_watch import PackWatch
from .route_proxy import RouteProxy
from .worker_link import WorkerLink

if TYPE_CHECKING:
    from comfykernel_sdk.transport import Kernel


class ServerPart:
    """What serves routes and what watches packs, over one link to the worker."""

    def __init__(self, kernel: Kernel) -> None:
        settings = kernel.settings.of_plugin(NAME, CompatSettings)
        link = WorkerLink(kernel)
        self.proxy = RouteProxy(link, settings.route_timeout_s)
        self.watch = PackWatch(kernel, link)


_parts: Final[weakref.WeakKeyDictionary[Kernel, ServerPart]] = weakref.WeakKeyDictionary()
_closing: Final[set[asyncio.Task[None]]] = set()


def server_part(kernel: Kernel) -> ServerPart:
    """The part of a kernel, made at first use."""
    if kernel not in _parts:
        _parts[kernel] = ServerPart(kernel)
    return _parts[kernel]


def close_server_part(kernel: Kernel) -> None:
    """Close the part of a kernel that stops; it goes on in the background for a moment."""
    part = _parts.pop(kernel, None)
    if part is not None:
        task = asyncio.get_running_loop().create_task(part.watch.close())
        _closing.add(task)
        task.add_done_callback(_closing.discard)
