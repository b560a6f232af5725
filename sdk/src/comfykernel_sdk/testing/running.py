"""Run one node or a graph as the engine does, with the values in hand.

::

    assert run_node(image_invert, image=torch.zeros(1, 2, 2, 3)).output.min() == 1.0
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import TYPE_CHECKING, Literal

from ..events import ExecutionCached, ExecutionFailed, NodeStarted
from ..nodes import NodeDefinition, NodeSpec, OutputSpec, definition_of
from ..scheduler import Assignment
from ..settings import Settings
from .engine_door import make_engine
from .memory_storage import MemoryStorage

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable
    from typing import TypeVar

    from ..events import Event
    from ..graph import Graph
    from ..jobs import Outcome
    from ..json_types import JsonObject
    from ..storage import Storage

    T = TypeVar("T")

PROMPT_ID = "test-prompt"
NODE_ID = "1"
LIST_CLASS = "comfykernel testing list"


class GraphRun:
    """What came of a graph.

    Attributes:
        outcome: as a scheduler gets it.
        events: all events in order.
        outputs: node id -> for each output the list of its values, of every node that ran.
        exception: what a node raised.
    """

    def __init__(self) -> None:
        self.outcome: Outcome
        self.events: list[Event] = []
        self.outputs: dict[str, list[list[object]]] = {}
        self.exception: BaseException | None = None

    @property
    def status(self) -> Literal["done", "failed", "cancelled"]:
        """How it ended."""
        return self.outcome.status

    @property
    def ui(self) -> dict[str, JsonObject]:
        """Node id -> what the node shows."""
        return self.outcome.outputs

    @property
    def ran(self) -> list[str]:
        """Ids of the nodes that ran, in the order in which they began."""
        return [event.place.node_id for event in self.events if isinstance(event, NodeStarted)]

    @property
    def cached(self) -> list[str]:
        """Ids of the nodes that did not run because their outputs were known."""
        return next((list(event.nodes) for event in self.events if isinstance(event, ExecutionCached)), [])

    @property
    def error(self) -> ExecutionFailed | None:
        """The failure as clients see it."""
        return next((event for event in self.events if isinstance(event, ExecutionFailed) and event.timed), None)

    def value(self, node_id: str, index: int = 0) -> object:
        """The single value of an output; ``AssertionError`` when it has several or none."""
        (value,) = self.outputs[node_id][index]
        return value


class _Witness:
    def __init__(self, run: GraphRun) -> None:
        self._run = run

    def outputs(self, node_id: str, outputs: list[list[object]]) -> None:
        self._run.outputs[node_id] = outputs

    def failed(self, error: BaseException) -> None:
        self._run.exception = error


class GraphRunner:
    """An engine that runs graphs one after the other and keeps its cache between them.

    Args:
        nodes: decorated functions and classes, or definitions; ``None``: all that is installed.
        settings: decide about the cache; nodes see them.
        storage: what nodes see as files and models; ``None``: an empty one in memory.
    """

    def __init__(
        self, nodes: Iterable[object] | None = None, *, settings: Settings | None = None, storage: Storage | None = None
    ) -> None:
        self.storage = storage or MemoryStorage()
        self.engine = make_engine(settings or Settings(), nodes=nodes, storage=self.storage)

    def run(
        self, graph: Graph, *, outputs: Iterable[str] | None = None, extra_data: JsonObject | None = None
    ) -> GraphRun:
        """Run a graph; ``outputs`` are the nodes that must run, by default all output nodes."""
        return run_coroutine(self.run_async(graph, outputs=outputs, extra_data=extra_data))

    async def run_async(
        self,
        graph: Graph,
        *,
        outputs: Iterable[str] | None = None,
        extra_data: JsonObject | None = None,
        prompt_id: str = PROMPT_ID,
    ) -> GraphRun:
        """The same inside an event loop."""
        run = GraphRun()
        wanted = self._output_nodes(graph) if outputs is None else list(outputs)
        assignment = Assignment(
            prompt_id=prompt_id, graph=graph, outputs_to_execute=wanted, extra_data=extra_data or {}
        )
        run.outcome = await self.engine.run(assignment, run.events.append, witness=_Witness(run))
        return run

    def _output_nodes(self, graph: Graph) -> list[str]:
        specs = self.engine.catalog.nodes
        known = {id: specs.get(str(node.get("class_type"))) for id, node in graph.items()}
        return [id for id, spec in known.items() if spec is not None and spec.output_node]


def run_graph(
    graph: Graph,
    *,
    nodes: Iterable[object] | None = None,
    outputs: Iterable[str] | None = None,
    settings: Settings | None = None,
    storage: Storage | None = None,
    extra_data: JsonObject | None = None,
) -> GraphRun:
    """Run a graph once with a fresh engine; see :class:`GraphRunner` for the arguments."""
    return GraphRunner(nodes, settings=settings, storage=storage).run(graph, outputs=outputs, extra_data=extra_data)


class NodeRun:
    """What came of one node: ``outputs`` holds a value for each output (a list for an output that is a list)."""

    def __init__(self, run: GraphRun, definition: NodeDefinition) -> None:
        self.run = run
        self.outputs: list[object] = [
            values if spec.is_list or len(values) != 1 else values[0]
            for values, spec in zip(run.outputs[NODE_ID], definition.spec.outputs, strict=True)
        ]
        self.ui = run.ui.get(NODE_ID)

    @property
    def output(self) -> object:
        """The value of the only output."""
        (value,) = self.outputs
        return value


def run_node(
    node: object,
    /,
    *,
    nodes: Iterable[object] = (),
    settings: Settings | None = None,
    storage: Storage | None = None,
    extra_data: JsonObject | None = None,
    **inputs: object,
) -> NodeRun:
    """Call one node with these inputs and give back its outputs; an exception of the node is raised as it is.

    A node with ``input_is_list`` gets lists as they are. ``nodes`` are the other nodes that its expansion needs.
    """
    definition = node if isinstance(node, NodeDefinition) else definition_of(node)
    graph: dict[str, dict[str, object]] = {NODE_ID: {"class_type": definition.spec.id, "inputs": {}}}
    given: dict[str, object] = {}
    for name, value in inputs.items():
        given[name] = {"__value__": value}
        if definition.spec.input_is_list and isinstance(value, list):
            graph[f"list of {name}"] = {"class_type": LIST_CLASS, "inputs": {"items": {"__value__": value}}}
            given[name] = [f"list of {name}", 0]
    graph[NODE_ID]["inputs"] = given
    runner = GraphRunner([definition, _list_node(), *nodes], settings=settings, storage=storage)
    run = runner.run(graph, outputs=[NODE_ID], extra_data=extra_data)  # type: ignore[arg-type]
    if run.exception is not None:
        raise run.exception
    return NodeRun(run, definition)


def _list_node() -> NodeDefinition:
    """Gives the items of a list one by one."""
    from ..nodes import InputSpec

    spec = NodeSpec(
        id=LIST_CLASS,
        inputs=[InputSpec(name="items", type="*")],
        outputs=[OutputSpec(type="*", name="*", is_list=True)],
    )
    return NodeDefinition(spec=spec, run=lambda _, items: items)


def run_coroutine(coroutine: Coroutine[object, object, T]) -> T:
    """Run to the end in this thread, or in another one when this thread has a running event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    results: list[T] = []
    errors: list[BaseException] = []
    context = contextvars.copy_context()

    def run() -> None:
        try:
            results.append(context.run(asyncio.run, coroutine))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=run, name="graph")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
