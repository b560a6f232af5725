"""The engine: runs prompts one at a time; knows no process and no network."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

from comfykernel_sdk.scheduler import Assignment

from .cache import Instances, make_cache
from .context import RunServices
from .coroutines import Cancellation
from .prompt_run import PromptRun
from .report import Report
from .run_graph import RunGraph
from .validators import answer_questions

if TYPE_CHECKING:
    from collections.abc import Callable

    from comfykernel_sdk.events import Event
    from comfykernel_sdk.jobs import Outcome
    from comfykernel_sdk.scheduler import Catalog, DeviceStatus, ValidationAnswer, ValidationQuestion, Witness
    from comfykernel_sdk.settings import Settings
    from comfykernel_sdk.storage import Storage

    from .registry import Registry


class Engine:
    """Runs prompts over a registry of nodes.

    Args:
        registry: the nodes.
        settings: decide about the cache; nodes see them too.
        storage: the files and models that nodes see.
        free_memory: called with ``unload_models`` between two prompts.
        model_memory: bytes of the models that are loaded.
        device_status: the device with its memory; ``None``: nobody knows.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        settings: Settings,
        storage: Storage,
        free_memory: Callable[[bool], object] = lambda _: None,
        model_memory: Callable[[], int] = lambda: 0,
        device_status: Callable[[], DeviceStatus | None] = lambda: None,
    ) -> None:
        self.registry = registry
        self.settings = settings
        self.storage = storage
        self.model_bytes = model_memory
        self.device_status = device_status
        self._free_memory = free_memory
        self._cache = make_cache(settings.execution)
        self._instances = Instances()
        self._cancellations: dict[str, Cancellation] = {}
        self._cancelled_early: set[str] = set()

    @property
    def catalog(self) -> Catalog:
        """All nodes, packs and collisions."""
        return self.registry.catalog

    async def run(
        self, assignment: Assignment, emit: Callable[[Event], None], *, witness: Witness | None = None
    ) -> Outcome:
        """Run a prompt to its end; errors of nodes are in the outcome.

        ``emit`` gets every event in order; it is called from whatever thread a node reports from and must not block.
        A ``witness`` is shown the values and the exception themselves.
        """
        cancellation = self._cancellations[assignment.prompt_id] = Cancellation(asyncio.get_running_loop())
        if assignment.prompt_id in self._cancelled_early:
            cancellation.request()
        services = self._services(assignment, emit, cancellation)
        try:
            run = PromptRun(services, self._cache, self._instances, witness)
            return await run.run()
        finally:
            del self._cancellations[assignment.prompt_id]
            self._cancelled_early.discard(assignment.prompt_id)

    def interrupt(self, prompt_id: str, *, expected: bool = False) -> bool:
        """Stop a prompt; may be called from any thread. Tells whether it runs.

        With ``expected`` the prompt is about to be run: it will then stop at its first node.
        """
        cancellation = self._cancellations.get(prompt_id)
        if cancellation is not None:
            cancellation.request()
        elif expected:
            self._cancelled_early.add(prompt_id)
        return cancellation is not None

    def validate(self, questions: list[ValidationQuestion]) -> list[ValidationAnswer]:
        """Ask the nodes' own validators. Blocks; may be called from any thread without a running event loop."""
        nothing = Assignment(prompt_id="", graph={}, outputs_to_execute=[])
        services = self._services(nothing, lambda event: None, Cancellation())
        return answer_questions(self.registry.classes, questions, services)

    def free(self, *, unload_models: bool, free_memory: bool) -> None:
        """Forget outputs and instances (``free_memory``) and let plugins free theirs. Only between two prompts."""
        if free_memory:
            self._cache.clear()
            self._instances.clear()
        self._free_memory(unload_models)
        gc.collect()

    def cache_bytes(self) -> int:
        """Bytes of the outputs that are kept."""
        return self._cache.size()

    def _services(
        self, assignment: Assignment, emit: Callable[[Event], None], cancellation: Cancellation
    ) -> RunServices:
        report, graph = Report(assignment.prompt_id, emit), RunGraph(assignment.graph, self.registry.classes)
        return RunServices(assignment, self.settings, self.storage, cancellation, report, graph)
