"""A whole kernel in memory: durable for as long as the test holds its storage."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from ..jobs import PromptRequest
from ..settings import Settings
from .engine_door import make_engine
from .in_process import InProcessScheduler
from .memory_storage import MemoryStorage
from .running import run_coroutine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from ..graph import Graph
    from ..jobs import Job
    from ..json_types import JsonObject
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
    server = import_module("comfykernel.server")
    async with server.running_kernel(settings, storage, lambda: scheduler) as kernel:
        yield kernel


def run_prompt(
    graph: Graph,
    *,
    nodes: Iterable[object] | None = None,
    settings: Settings | None = None,
    storage: Storage | None = None,
    extra_data: JsonObject | None = None,
) -> Job:
    """Submit a prompt to a kernel in memory, as a client does, and wait for its end; ``job.outcome`` tells all.

    Raises:
        InvalidPrompt: the kernel refuses it, with the errors of its nodes.
    """

    async def run() -> Job:
        async with kernel_in_memory(nodes, settings=settings, storage=storage) as kernel:
            submitted = await kernel.submit(PromptRequest(graph=graph, extra_data=extra_data or {}))
            async for _ in kernel.replay(submitted.prompt_id):
                pass
            job = await kernel.job(submitted.prompt_id)
            assert job is not None
            return job

    return run_coroutine(run())
