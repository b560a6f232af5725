"""One run of one prompt: takes ready nodes from the schedule until all outputs are made.

Synchronous nodes run right here, in the engine's thread; coroutines become tasks and overlap with everything else.
A node that expands stays unfinished until the outputs that stand in for its own are known.
"""

from __future__ import annotations

import asyncio
from inspect import iscoroutine
from typing import TYPE_CHECKING

from comfykernel_sdk.context import current
from comfykernel_sdk.errors import Interrupted
from comfykernel_sdk.graph import default_prefix, is_link
from comfykernel_sdk.outcomes import meta_of

from .cache import Entry
from .calls import Arguments, Returned, blocked, blocker_among, merge_outputs, merge_ui, plan_calls, read_result
from .context import RunContext, RunServices
from .coroutines import Coroutines
from .failures import block_event, failure_event, shown_inputs
from .inputs import gather_inputs, missing_lazy_inputs, wanted_inputs
from .run_graph import GraphError, Vertex
from .schedule import Schedule
from .sharing import ChangedInput, Handed
from .signatures import sign
from .values import Values

if TYPE_CHECKING:
    from collections.abc import Iterable

    from comfykernel_sdk.jobs import Outcome
    from comfykernel_sdk.json_types import JsonObject
    from comfykernel_sdk.scheduler import Witness

    from .cache import Instances, OutputCache
    from .node_class import NodeClass


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
        self._coroutines = Coroutines(self._cancellation.wake)
        self._current: Vertex | None = None
        self._inputs: dict[str, list[object]] = {}
        self._handed: dict[str, Handed] = {}

    async def run(self) -> Outcome:
        """Make the outputs; every failure ends in the outcome, only a cancelled task raises."""
        report = self._report
        report.started(self._services.assignment.attempt)
        error = await self._run_to_end()
        self._cache.end(self._expanded, complete=error is None)
        if error is None:
            report.succeeded()
            return report.account.outcome("done")
        if isinstance(error, Interrupted):
            report.interrupted(*self._blamed(error))
            return report.account.outcome("cancelled")
        if self._witness is not None:
            self._witness.failed(error)
        hidden = self._current.node_class.filled if self._current is not None else frozenset()
        event = failure_event(
            self._services.assignment.prompt_id, *self._blamed(error), error, executed=list(report.executed),
            inputs=shown_inputs(self._inputs, hidden), nodes=self._graph.nodes,
        )  # fmt: skip
        report.failed(event)
        return report.account.outcome("failed", reason=str(error))

    async def _run_to_end(self) -> BaseException | None:
        """Run all nodes; gives what stopped them. Afterwards no coroutine runs."""
        try:
            await self._prepare(list(dict.fromkeys(self._services.assignment.outputs_to_execute)))
            await self._run_nodes()
        except (Exception, SystemExit, Interrupted) as error:  # noqa: BLE001 - the code of node packs
            return error
        finally:
            await self._coroutines.stop()
            if spoilt := [array for handed in self._handed.values() for _, array in handed.changed()]:
                self._cache.forget(spoilt)
        return None

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
        coroutines, wake = self._coroutines, self._cancellation.wake
        while True:
            vertex = self._schedule.next()
            if vertex is not None:
                await self._step(vertex)
                if coroutines:
                    await asyncio.sleep(0)
            elif coroutines:
                await wake.wait()
                wake.clear()
                if self._cancellation.requested:
                    self._current = coroutines.any_vertex()
                    raise Interrupted
            else:
                self._check_cycle()
                return
            while (calls := coroutines.next_ended()) is not None:
                self._current, self._inputs = calls.vertex, calls.inputs
                await self._complete(calls.vertex, calls.finished())

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
        if vertex.node_class.lazy and await self._waits_for_lazy_inputs(vertex):
            return
        self._report.running(vertex.place)
        results = self._call(vertex)
        if not self._coroutines.watch(vertex, self._inputs, results):
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

    async def _waits_for_lazy_inputs(self, vertex: Vertex) -> bool:
        """Ask a node for the lazy inputs that it needs now, until it wants no more; tells whether it has to wait."""
        while missing := missing_lazy_inputs(vertex):
            self._inputs = gather_inputs(self._services, vertex, self._values)
            instance = self._instances.of(vertex)
            names = await wanted_inputs(self._services, vertex, instance, self._inputs, missing)
            vertex.asked |= frozenset(names)
            if not names:
                return False
            if self._schedule.require(vertex.id, dict.fromkeys(missing[name] for name in names)):
                return True
        return False

    def _call(self, vertex: Vertex) -> list[object]:
        """Call a node for all its items; coroutines are started as tasks."""
        node_class = vertex.node_class
        as_lists, parameter = node_class.spec.input_is_list, node_class.definition.context_parameter
        inputs = self._inputs = gather_inputs(self._services, vertex, self._values)
        instance = self._instances.of(vertex)
        context = RunContext(self._services, vertex.place)
        handed = self._handed[vertex.id] = self._handing(vertex)
        results: list[object] = []
        token, prefix = current.set(context), default_prefix.set(None)
        try:
            for index, arguments in enumerate(plan_calls(inputs, as_lists=as_lists)):
                blocker = blocker_among(arguments, as_lists=as_lists)
                if blocker is not None:
                    self._report_block(vertex, blocker.message)
                    results.append(blocked(node_class))
                    continue
                handed.prepare(arguments, node_class.filled)
                if parameter is not None:
                    arguments[parameter] = context
                default_prefix.set([vertex.id, index, 0])
                results.append(self._call_once(node_class, instance, arguments))
        except BaseException:
            self._coroutines.watch(vertex, inputs, results)
            raise
        finally:
            current.reset(token)
            default_prefix.reset(prefix)
        return results

    def _handing(self, vertex: Vertex) -> Handed:
        """A node that may change what the cache or another node holds gets copies."""
        changes = vertex.node_class.definition.changes_inputs
        shared = changes and (not self._cache.keeps_nothing or self._values.has_readers(vertex.sources))
        return Handed(copy=shared, watch=not changes)

    def _call_once(self, node_class: NodeClass, instance: object, arguments: Arguments) -> object:
        if self._cancellation.requested:
            raise Interrupted
        result = node_class.definition.run(instance, **arguments)
        # A task takes the context variables as they are now with it.
        return asyncio.create_task(result) if iscoroutine(result) else result

    async def _complete(self, vertex: Vertex, results: list[object]) -> None:
        """All calls of a node have returned."""
        node_class = vertex.node_class
        if changed := self._handed[vertex.id].changed():
            raise _changed_input(vertex, changed[0][0])
        del self._handed[vertex.id]
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
        entry = Entry(outputs, ui, meta_of(place), root, self._inner.get(vertex.id, {}))
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
            id, executed = self._services.assignment.prompt_id, list(self._report.executed)
            self._report.failed(block_event(id, vertex.id, vertex.node_class.id, message, executed=executed))

    def _check_cycle(self) -> None:
        """Raise when nodes are left though nothing can run: they wait for each other."""
        waiting = self._schedule.cycle()
        if not waiting:
            return
        made = [self._graph.vertices[id] for id in waiting]
        inner = next((vertex for vertex in made if vertex.parent is not None), None)
        self._current, self._inputs = inner or made[0], {}
        raise GraphError("Nodes wait for each other.", details=" -> ".join(waiting), type="dependency_cycle")

    def _blamed(self, error: BaseException) -> tuple[str, str]:
        """Id and class of the node of the prompt that is shown as the one that stopped the run."""
        id = error.node_id if isinstance(error, GraphError) else ""
        if self._current is not None:
            id = self._graph.visible(self._current)
        return id, str(self._graph.nodes.get(id, {}).get("class_type", ""))


def _changed_input(vertex: Vertex, name: str) -> ChangedInput:
    return ChangedInput(
        f"{vertex.node_class.id} has changed its input {name!r} in place, which others hold too.",
        hint="Work on a copy (clone() of a tensor), or declare the node with changes_inputs=True to be handed copies.",
    )
