"""A whole kernel in memory: durable for as long as the test holds its storage."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from ..settings import Settings
from .engine_door import make_engine
from .in_process import InProcessScheduler
from .memory_storage import MemoryStorage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from ..scheduler import Scheduler
    from ..storage import Storage
    from ..transport import Kernel


@asynccontextmanager
async def kernel_in_memory(
    nodes: Iterable[object] | None = None,
    *,
    settings: Settings | None = None,
    storage: Storage | None = None,
    scheduler: Scheduler | None = None,
) -> AsyncIterator[Kernel]:
    """The real kernel with its queue, validation and events, over memory and an engine in this process.

    ``nodes`` as for :func:`~comfykernel_sdk.testing.run_graph`. The same ``storage`` given again is a restart.
    """
    settings = settings or Settings()
    storage = storage or MemoryStorage()
    scheduler = scheduler or InProcessScheduler(make_engine(settings, nodes=nodes, storage=storage))
    # By name: the sdk imports no kernel, it only uses one that is installed.
    kernels = import_module("comfykernel.in_memory")
    async with kernels.running_kernel(settings, storage, scheduler) as kernel:
        yield kernel
