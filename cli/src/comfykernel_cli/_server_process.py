"""The server process: runs a server until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import time
from typing import TYPE_CHECKING, Final

from comfykernel.server import running_server
from comfykernel_sdk.errors import ComfykernelError

from ._logging import set_up_logging

if TYPE_CHECKING:
    from collections.abc import Callable

    from comfykernel_sdk.settings import Settings

log = logging.getLogger("comfykernel")

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
