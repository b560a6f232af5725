"""One run of one prompt: takes ready nodes from the schedule until all outputs are made.

Synchronous nodes run right here, in the engine's thread; coroutines become tasks and overlap with everything else.
A node that expands stays unfinished until the outputs that stand in for its own are known.
"""

from __future__ import annotations

import asyncio
from collections import deque
from inspect import isawaitable, iscoroutine
from typing import TYPE_CHECKING, Final, Protocol, cast

from comfykernel_sdk.context import current
from comfykernel_sdk.errors import Interrupted
from comfykernel_sdk.graph import default_prefix, is_link

from .cache import Entry
from .calls import Arguments, Returned, blocked, blocker_among, merge_outputs, merge_ui, plan_calls, read_result
from .context import RunContext, RunServices, current_node
from .failures import Failure, shown_inputs
from .report import meta_of
from .run_graph import GraphError, Vertex
from .schedule import Schedule
from .signatures import sign
from .values import Values

if TYPE_CHECKING:
    from collections.abc import Iterable

    from comfykernel_sdk.jobs import Outcome
    from comfykernel_sdk.json_types import JsonObject

    from .cache import Instances, OutputCache

CANCEL_WAIT_S: Final = 5.0
"""How long coroutines of nodes may take to end when their prompt has failed or was cancelled."""


class Witness(Protocol):
    """Sees what events do not carry: for tests and programs that want the values."""

    def outputs(self, node_id: str, outputs: list[list[object]]) -> None:
        """A node has run or was reused: for each output the list of its values."""

    def failed(self, error: BaseException) -> None:
        """The run has failed with this exception."""


class AsyncCalls:
    """The calls of one node of which at least one is a coroutine that runs."""

    __slots__ = ("inputs", "results", "vertex")

    def __init__(self, vertex: Vertex, inputs: dict[str, list[object]], results: list[object]) -> None:
        self.vertex = vertex
        self.inputs = inputs
        self.results = results

    def tasks(self) -> list[asyncio.Task[object]]:
        """The coroutines among the results."""
        return [result for result in self.results if isinstance(result, asyncio.Task)]


class PromptRun:
    """Runs the prompt of ``services`` once; made anew for each prompt."""

    def __init__(
        self, services: RunServices, cache: OutputCache, instances: Instances, witness: Witness | None = None
    ) -> None:
        self._services = services
        self._graph = services.graph
        self._report = services.report
        self._cancellation = services.cancellation
        self._cache = cache
        self._instances = instances
        self._witness = witness
        self._values = Values(self._graph)
        self._schedule = Schedule(self._graph, self._values)
        self._outputs: set[str] = set()
        self._known: dict[str, Entry] = {}
        self._expanding: dict[str, tuple[list[Returned], list[str]]] = {}
        self._inner: dict[str, dict[str, tuple[JsonObject, JsonObject]]] = {}
        self._expanded: set[str] = set()
        self._running: set[AsyncCalls] = set()
        self._ended: deque[AsyncCalls] = deque()
        self._current: Vertex | None = None
        self._inputs: dict[str, list[object]] = {}

    async def run(self, outputs: Iterable[str], *, attempt: int) -> Outcome:
        """Make these outputs; every failure ends in the outcome, only a cancelled task raises."""
        self._report.started(attempt)
        complete = False
        try:
            await self._prepare(list(dict.fromkeys(outputs)))
            await self._run_nodes()
            complete = True
        except Interrupted:
            id, kind = self._blamed()
            self._report.interrupted(id, kind)
            return self._report.outcome("cancelled")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the code of node packs
            if self._witness is not None:
                self._witness.failed(error)
            self._report.failed(self._failure(error))
            return self._report.outcome("failed", reason=str(error))
        finally:
            await self._stop_coroutines()
            self._cache.end(self._expanded, complete=complete)
        self._report.succeeded()
        return self._report.outcome("done")

    async def _prepare(self, outputs: list[str]) -> None:
        """Sign all nodes, look up what is known, and schedule the outputs with what they need."""
        graph, values = self._graph, self._values
        self._instances.begin(graph)
        await sign(self._services, graph.vertices.values(), self._instances.of)
        self._cache.begin(graph)
        self._look_up(graph.vertices.values())
        for id, entry in self._known.items():
            self._report.remember(id, entry)
        self._report.cached(list(self._known))
        self._outputs.update(outputs)
        values.enroll(outputs)
        values.forget_unread()
        for id in outputs:
            self._schedule.add(id, distance=0)

    def _look_up(self, vertices: Iterable[Vertex]) -> None:
        for vertex in vertices:
            entry = self._cache.get(vertex.signature)
            if entry is not None:
                self._known[vertex.id] = entry
                self._values.add_known(vertex.id, entry.outputs)

    async def _run_nodes(self) -> None:
        while True:
            vertex = self._schedule.next()
            if vertex is not None:
                await self._step(vertex)
                if self._running:
                    await asyncio.sleep(0)
            elif self._running:
                await self._cancellation.wake.wait()
                self._cancellation.wake.clear()
            else:
                self._check_cycle()
                return
            while self._ended:
                await self._collect(self._ended.popleft())
            if self._cancellation.requested and vertex is None:
                self._current = next(iter(self._running)).vertex if self._running else self._current
                raise Interrupted

    async def _step(self, vertex: Vertex) -> None:
        """Run one node, or as much of it as can be done now."""
        self._current, self._inputs = vertex, {}
        if self._cancellation.requested:
            raise Interrupted
        if vertex.id in self._expanding:
            self._resolve_expansion(vertex)
            return
        entry = self._known.get(vertex.id) or self._cache.get(vertex.signature)
        if entry is not None:
            self._reuse(vertex, entry)
            return
        if vertex.node_class.lazy and await self._wants_lazy_inputs(vertex):
            return
        self._report.running(vertex.place)
        results = self._call(vertex)
        if results is not None:
            await self._complete(vertex, results)

    def _reuse(self, vertex: Vertex, entry: Entry) -> None:
        """A node whose outputs are known: output nodes show them again."""
        if vertex.id in self._outputs or entry.ui is not None:
            self._report.reused(vertex.place, entry)
        self._report.remember(vertex.id, entry)
        self._tell_parents(vertex, entry.inner)
        if entry.ui is not None:
            self._tell_parents(vertex, {vertex.id: (entry.ui, entry.meta)})
        self._end(vertex, entry.outputs)

    async def _wants_lazy_inputs(self, vertex: Vertex) -> bool:
        """Ask a node which of its lazy inputs it needs now; tells whether it has to wait for some."""
        node_class = vertex.node_class
        missing = {
            name: source for name, source, _ in vertex.links if name in node_class.lazy and source not in self._values
        }
        if not missing:
            return False
        check, takes = node_class.definition.check_lazy, node_class.lazy_takes
        assert check is not None
        inputs = self._inputs = self._gather(vertex)
        known = {name: values for name, values in inputs.items() if takes is None or name in takes}
        instance = self._instances.of(vertex)
        wanted: dict[str, None] = {}
        for arguments in plan_calls(known, as_lists=node_class.spec.input_is_list):
            if blocker_among(arguments, as_lists=node_class.spec.input_is_list) is None:
                with current_node(RunContext(self._services, vertex.place)):
                    answer = check(instance, **arguments)
                names = cast("Iterable[str] | None", await answer if isawaitable(answer) else answer)
                wanted.update(dict.fromkeys(names or ()))
        sources = dict.fromkeys(missing[name] for name in wanted if name in missing)
        return bool(sources) and self._schedule.require(vertex.id, sources)

    def _gather(self, vertex: Vertex) -> dict[str, list[object]]:
        """The inputs of a node, each a list of values; lazy ones that are not known are ``[None]``."""
        inputs = dict(vertex.constants)
        values, lazy = self._values, vertex.node_class.lazy
        for name, source, index in vertex.links:
            if name in lazy and source not in values:
                inputs[name] = [None]
                continue
            outputs = values[source]
            if not 0 <= index < len(outputs):
                text = f"Input {name!r} links to output {index} of node {source!r}, which has {len(outputs)}."
                raise GraphError(text, type="missing_output")
            inputs[name] = outputs[index]
        for name, kind in vertex.node_class.hidden:
            inputs[name] = [self._hidden(vertex, kind)]
        return inputs

    def _hidden(self, vertex: Vertex, kind: str) -> object:
        if kind == "UNIQUE_ID":
            return vertex.id
        if kind == "PROMPT":
            return self._graph.submitted
        if kind == "DYNPROMPT":
            return self._graph
        return self._services.extra_data.get(kind.lower())

    def _call(self, vertex: Vertex) -> list[object] | None:
        """Call a node for all its items; ``None`` when coroutines are under way."""
        node_class = vertex.node_class
        as_lists = node_class.spec.input_is_list
        inputs = self._inputs = self._gather(vertex)
        instance = self._instances.of(vertex)
        context = RunContext(self._services, vertex.place)
        token, prefix = current.set(context), default_prefix.set(None)
        try:
            results: list[object] = []
            for index, arguments in enumerate(plan_calls(inputs, as_lists=as_lists)):
                blocker = blocker_among(arguments, as_lists=as_lists)
                if blocker is not None:
                    self._report_block(vertex, blocker.message)
                    results.append(blocked(node_class))
                    continue
                if node_class.definition.context_parameter is not None:
                    arguments[node_class.definition.context_parameter] = context
                default_prefix.set([vertex.id, index, 0])
                results.append(self._call_once(vertex, instance, arguments))
        except BaseException:
            _cancel(results)
            raise
        finally:
            current.reset(token)
            default_prefix.reset(prefix)
        return results if not self._watch(vertex, inputs, results) else None

    def _call_once(self, vertex: Vertex, instance: object, arguments: Arguments) -> object:
        if self._cancellation.requested:
            raise Interrupted
        result = vertex.node_class.definition.run(instance, **arguments)
        # A task takes the context variables as they are now with it.
        return asyncio.create_task(result) if iscoroutine(result) else result

    def _watch(self, vertex: Vertex, inputs: dict[str, list[object]], results: list[object]) -> bool:
        """Wait in the background for the coroutines among the results; tells whether there are any."""
        calls = AsyncCalls(vertex, inputs, results)
        tasks = calls.tasks()
        if not tasks:
            return False
        self._running.add(calls)
        left = len(tasks)

        def ended(task: asyncio.Task[object]) -> None:
            nonlocal left
            left -= 1
            if not left or (not task.cancelled() and task.exception() is not None):
                self._ended.append(calls)
                self._cancellation.wake.set()

        for task in tasks:
            task.add_done_callback(ended)
        return True

    async def _collect(self, calls: AsyncCalls) -> None:
        """Coroutines of a node have ended, or one of them has failed."""
        if calls not in self._running:
            return
        self._running.discard(calls)
        self._current, self._inputs = calls.vertex, calls.inputs
        try:
            for task in calls.tasks():
                if task.cancelled():
                    raise GraphError("The coroutine of a node was cancelled from within.", type="coroutine_cancelled")
                if task.done() and (error := task.exception()) is not None:
                    raise error
            results = [r.result() if isinstance(r, asyncio.Task) else r for r in calls.results]
        except BaseException:
            _cancel(calls.results)
            raise
        await self._complete(calls.vertex, results)

    async def _complete(self, vertex: Vertex, results: list[object]) -> None:
        """All calls of a node have returned."""
        node_class = vertex.node_class
        returned = [r if isinstance(r, Returned) else read_result(node_class, r) for r in results]
        ui = merge_ui(returned)
        if ui is not None:
            self._report.output(vertex.place, ui)
            self._tell_parents(vertex, {vertex.id: (ui, meta_of(vertex.place))})
        if any(r.graph is not None for r in returned):
            await self._expand(vertex, returned)
        else:
            self._finish(vertex, merge_outputs(node_class, returned, {}), ui)

    async def _expand(self, vertex: Vertex, returned: list[Returned]) -> None:
        """Add the graphs that the calls gave, and have the node wait for what stands in for its outputs."""
        graph, schedule = self._graph, self._schedule
        added = [inner for r in returned if r.graph for inner in graph.expand(vertex, r.graph)]
        await sign(self._services, added, self._instances.of)
        self._look_up(added)
        self._expanded.add(vertex.place.real())
        links = [str(v[0]) for r in returned if r.graph is not None for v in r.values if is_link(v)]
        outputs = [inner.id for inner in added if inner.node_class.spec.output_node]
        needed = list(dict.fromkeys([id for id in links if graph.has_node(id)] + outputs))
        self._outputs.update(outputs)
        self._expanding[vertex.id] = (returned, needed)
        self._values.enroll(needed)
        for id in outputs:
            schedule.add(id, distance=0)
        if not schedule.require(vertex.id, needed):
            schedule.again(vertex)

    def _resolve_expansion(self, vertex: Vertex) -> None:
        returned, needed = self._expanding.pop(vertex.id)
        resolved = {id: self._values[id] for id in needed if id in self._values}
        outputs = merge_outputs(vertex.node_class, returned, resolved)
        self._values.release(needed)
        self._finish(vertex, outputs, merge_ui(returned))

    def _finish(self, vertex: Vertex, outputs: list[list[object]], ui: JsonObject | None) -> None:
        """A node has run: remember what it gave and let others have it."""
        place = vertex.place
        root = (place.real(), self._graph.vertices[place.real()].node_class.id) if vertex.parent else None
        entry = Entry(outputs, ui, meta_of(place), root)
        entry.inner = self._inner.get(vertex.id, entry.inner)
        self._cache.put(vertex.signature, entry)
        self._report.finished(place)
        self._end(vertex, outputs)

    def _end(self, vertex: Vertex, outputs: list[list[object]]) -> None:
        if self._witness is not None:
            self._witness.outputs(vertex.id, outputs)
        if vertex.id not in self._values:
            self._values.put(vertex.id, outputs)
        self._values.finished(vertex)
        self._schedule.finish(vertex.id)
        if vertex.id in self._outputs and vertex.parent is None:
            self._values.release((vertex.id,))

    def _tell_parents(self, vertex: Vertex, shown: dict[str, tuple[JsonObject, JsonObject]]) -> None:
        """What a node of an expansion shows belongs to the nodes that it came from, when they are reused as a whole."""
        parent = vertex.parent
        while parent is not None:
            self._inner.setdefault(parent, {}).update(shown)
            parent = self._graph.vertices[parent].parent

    def _report_block(self, vertex: Vertex, message: str | None) -> None:
        if message is not None:
            failure = Failure(vertex.id, vertex.node_class.id, message, inputs={}, nodes=[])
            self._report.failed(failure)

    def _check_cycle(self) -> None:
        """Raise when nodes are left though nothing can run: they wait for each other."""
        waiting = self._schedule.cycle()
        if not waiting:
            return
        made = [self._graph.vertices[id] for id in waiting]
        inner = next((vertex for vertex in made if vertex.parent is not None), None)
        self._current, self._inputs = inner or made[0], {}
        raise GraphError("Nodes wait for each other.", details=" -> ".join(waiting), type="dependency_cycle")

    def _blamed(self) -> tuple[str, str]:
        """Id and class of the node of the prompt that is shown as the one that stopped the run."""
        id = self._graph.visible(self._current) if self._current is not None else ""
        return id, str(self._graph.nodes.get(id, {}).get("class_type", ""))

    def _failure(self, error: BaseException) -> Failure:
        nodes = list(self._graph.nodes)
        if self._current is None:
            id = error.node_id if isinstance(error, GraphError) else ""
            return Failure(id, str(self._graph.nodes.get(id, {}).get("class_type", "")), error, inputs={}, nodes=nodes)
        hidden = frozenset(name for name, _ in self._current.node_class.hidden)
        return Failure(*self._blamed(), error, inputs=shown_inputs(self._inputs, hidden), nodes=nodes)

    async def _stop_coroutines(self) -> None:
        tasks = [task for calls in self._running for task in calls.tasks() if not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CANCEL_WAIT_S)


def _cancel(results: Iterable[object]) -> None:
    for result in results:
        if isinstance(result, asyncio.Task):
            result.cancel()
