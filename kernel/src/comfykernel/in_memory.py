"""A kernel without plugin host, processes and transports: for tests, and for programs that embed it."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from .catalog import CatalogKeeper
from .kernel import LocalKernel
from .scheduler_host import LocalSchedulerHost

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from comfykernel_sdk.scheduler import Scheduler
    from comfykernel_sdk.settings import Settings
    from comfykernel_sdk.storage import Storage


@contextlib.asynccontextmanager
async def running_kernel(settings: Settings, storage: Storage, scheduler: Scheduler) -> AsyncIterator[LocalKernel]:
    """A kernel over this storage and scheduler; takes up the jobs that wait in the storage."""
    async with contextlib.AsyncExitStack() as stack:
        state = stack.enter_context(tempfile.TemporaryDirectory())
        store = await storage.open_jobs()
        stack.push_async_callback(store.close)
        kernel = LocalKernel(settings, storage, store, CatalogKeeper(storage, Path(state), ""))
        stack.push_async_callback(kernel.bus.flush)
        await kernel.recover()
        kernel.scheduler = scheduler
        stack.push_async_callback(scheduler.stop)
        await scheduler.start(LocalSchedulerHost(kernel, store))
        yield kernel
