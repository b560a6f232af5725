"""The server process: puts storage, kernel, scheduler and transports together and runs them until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from comfykernel_sdk.errors import ComfykernelError

from .catalog import CatalogKeeper
from .fingerprint import distributions_fingerprint
from .kernel import LocalKernel
from .plugin_host import PluginHost
from .scheduler_host import LocalSchedulerHost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from comfykernel_sdk.scheduler import Scheduler
    from comfykernel_sdk.settings import LogSettings, Settings
    from comfykernel_sdk.storage import JobStore
    from comfykernel_sdk.transport import BusEvent, Transport

log = logging.getLogger("comfykernel")

LOG_FORMAT: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
EXIT_FAILED: Final = 1
SETTLE_S: Final = 2.0
"""Seconds after the start until everything is loaded that stays."""
GC_EVERY: Final = 5_000
"""Objects between two passes of the garbage collector over the young ones; a large prompt makes many that stay."""


def serve(settings: Settings, *, file: str = "") -> int:
    """Run the server until SIGINT or SIGTERM; returns the exit status of the process.

    ``file`` is where the settings come from, for the log.
    """
    set_up_logging(settings.log)
    if file:
        log.info("Settings from %s.", file)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_run(settings))
    except ComfykernelError as error:
        log.critical("%s", error)
        log.debug("", exc_info=error)
        return EXIT_FAILED
    except OSError as error:
        log.critical("The server can't start: %s", error)
        return EXIT_FAILED
    return 0


def set_up_logging(settings: LogSettings) -> None:
    """Log to the terminal in one form."""
    logging.basicConfig(
        level=settings.level.upper(),
        format=LOG_FORMAT,
        datefmt="%H:%M:%S",
        stream=sys.stdout if settings.to_stdout else sys.stderr,
        force=True,
    )


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The faster event loop where a transport brought it along."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def settle_memory() -> None:
    """Take what lives as long as the server out of the garbage collector's sight; each full pass would see it all."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_EVERY, 10, 10)


async def _run(settings: Settings) -> None:
    begun = time.perf_counter()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stopping.set)
    async with running_server(settings) as (_, transports):
        log.info("Listening after %.2f s.", time.perf_counter() - begun)
        for transport in transports:
            for address in transport.addresses():
                # Launchers written for the peer wait for this line.
                print(f"To see the GUI go to: {address}", flush=True)  # noqa: T201
        loop.call_later(SETTLE_S, settle_memory)
        await stopping.wait()
        log.info("Stopping: running jobs go on at the next start.")


@contextlib.asynccontextmanager
async def running_server(settings: Settings) -> AsyncIterator[tuple[LocalKernel, list[Transport]]]:
    """A server that listens, inside the ``async with``; everything is stopped in the reverse order at its end.

    Raises:
        PluginError: a chosen plugin is missing or broken.
        OSError: an address is taken.
    """
    host = PluginHost(settings, side="server")
    host.load()
    storage = host.make_storage()
    async with contextlib.AsyncExitStack() as stack:
        store = await storage.open_jobs()
        stack.push_async_callback(store.close)
        # Not before the store is open: it refuses a second server on the same folders.
        storage.files.clear_temporary()
        catalog = CatalogKeeper(storage, settings.paths.folder("state"), distributions_fingerprint())
        kernel = LocalKernel(
            settings, storage, store, catalog, plugins=host.infos, call_hook=host.call_hook, listener=_listener(host)
        )
        stack.push_async_callback(kernel.bus.flush)
        if waiting := await kernel.recover():
            log.info("%d jobs of the last run go on.", waiting)
        kernel.scheduler = await _start_scheduler(host, kernel, store, stack)
        transports = [await _start_transport(t, kernel, stack) for t in host.make_transports().values()]
        host.mark_started()
        host.hook.on_startup(kernel=kernel)
        stack.callback(lambda: host.hook.on_shutdown(kernel=kernel))
        yield kernel, transports


def _listener(host: PluginHost) -> Callable[[BusEvent], None] | None:
    """Passes events to plugins that want them; ``None`` when none does, so that events cost nothing."""
    hook = host.hook.on_event
    if not list(hook.implementations()):
        return None

    def tell(event: BusEvent) -> None:
        hook(event=event)

    return tell


async def _start_scheduler(
    host: PluginHost, kernel: LocalKernel, store: JobStore, stack: contextlib.AsyncExitStack
) -> Scheduler:
    scheduler = host.make_scheduler()
    stack.push_async_callback(scheduler.stop)
    await scheduler.start(LocalSchedulerHost(kernel, store))
    return scheduler


async def _start_transport(transport: Transport, kernel: LocalKernel, stack: contextlib.AsyncExitStack) -> Transport:
    stack.push_async_callback(transport.stop)
    await transport.start(kernel)
    return transport
