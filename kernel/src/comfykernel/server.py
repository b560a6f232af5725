"""A server: puts storage, kernel, scheduler and transports together, and takes them apart again."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from .catalog import CatalogKeeper
from .fingerprint import distributions_fingerprint
from .kernel import LocalKernel
from .plugin_host import PluginHost
from .scheduler_host import LocalSchedulerHost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from comfykernel_sdk.scheduler import Scheduler
    from comfykernel_sdk.settings import Settings
    from comfykernel_sdk.storage import Storage
    from comfykernel_sdk.transport import BusEvent, Transport

log = logging.getLogger("comfykernel")


@contextlib.asynccontextmanager
async def running_server(settings: Settings) -> AsyncIterator[tuple[LocalKernel, list[Transport]]]:
    """A server that listens, inside the ``async with``; everything is stopped in the reverse order at its end.

    Raises:
        PluginError: a chosen plugin is missing or broken.
        OSError: an address is taken.
    """
    host = PluginHost(settings, side="server")
    host.load()
    async with contextlib.AsyncExitStack() as stack:
        kernel = await stack.enter_async_context(
            running_kernel(settings, host.make_storage(), host.make_scheduler, host=host)
        )
        transports = [await _start_transport(t, kernel, stack) for t in host.make_transports().values()]
        host.mark_started()
        host.hook.on_startup(kernel=kernel)
        stack.callback(lambda: host.hook.on_shutdown(kernel=kernel))
        yield kernel, transports


@contextlib.asynccontextmanager
async def running_kernel(
    settings: Settings, storage: Storage, make_scheduler: Callable[[], Scheduler], *, host: PluginHost | None = None
) -> AsyncIterator[LocalKernel]:
    """A kernel over this storage and scheduler; takes up the jobs that wait in the storage.

    Without a ``host`` there are no plugins, and the catalog is not kept: for tests, and for programs that embed it.
    """
    async with contextlib.AsyncExitStack() as stack:
        store = await storage.open_jobs()
        stack.push_async_callback(store.close)
        if host is None:
            state = stack.enter_context(tempfile.TemporaryDirectory())
            kernel = LocalKernel(settings, storage, store, CatalogKeeper(storage, Path(state), ""))
        else:
            # Not before the store is open: it refuses a second server on the same folders.
            storage.files.clear_temporary()
            kernel = LocalKernel(
                settings, storage, store,
                CatalogKeeper(storage, settings.paths.folder("state"), distributions_fingerprint()),
                plugins=host.infos, call_hook=host.call_hook, listener=_listener(host),
            )  # fmt: skip
        stack.push_async_callback(kernel.bus.flush)
        if waiting := await kernel.recover():
            log.info("%d jobs of the last run go on.", waiting)
        kernel.scheduler = scheduler = make_scheduler()
        stack.push_async_callback(scheduler.stop)
        await scheduler.start(LocalSchedulerHost(kernel, store))
        yield kernel


def _listener(host: PluginHost) -> Callable[[BusEvent], object] | None:
    """Passes events to plugins that want them; ``None`` when none does, so that events cost nothing."""
    hook = host.hook.on_event
    return (lambda event: hook(event=event)) if hook.implementations() else None


async def _start_transport(transport: Transport, kernel: LocalKernel, stack: contextlib.AsyncExitStack) -> Transport:
    stack.push_async_callback(transport.stop)
    await transport.start(kernel)
    return transport
