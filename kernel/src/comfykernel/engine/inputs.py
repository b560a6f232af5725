"""The inputs of a node: constants, values that links bring, and what the engine fills in."""

from __future__ import annotations

from inspect import isawaitable
from typing import TYPE_CHECKING, cast

from .calls import blocker_among, plan_calls
from .context import RunContext, RunServices, current_node
from .plain_data import plain_copy
from .run_graph import GraphError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from .run_graph import Vertex
    from .values import Values


def gather_inputs(services: RunServices, vertex: Vertex, values: Values) -> dict[str, list[object]]:
    """The inputs of a node, each a list of values; lazy ones that it has not asked for are ``[None]``, known or not.

    Raises:
        GraphError: a link points to an output that the node at its other end does not have.
    """
    inputs = dict(vertex.constants)
    lazy = vertex.node_class.lazy
    for name, source, index in vertex.links:
        if name in lazy and name not in vertex.asked:
            inputs[name] = [None]
            continue
        outputs = values[source]
        if not 0 <= index < len(outputs):
            text = f"Input {name!r} links to output {index} of node {source!r}, which has {len(outputs)}."
            raise GraphError(text, type="missing_output")
        inputs[name] = outputs[index]
    for name, kind in vertex.node_class.hidden:
        inputs[name] = [_hidden(services, vertex, kind)]
    return inputs


def _hidden(services: RunServices, vertex: Vertex, kind: str) -> object:
    if kind == "UNIQUE_ID":
        return vertex.id
    if kind == "DYNPROMPT":
        return services.graph
    # The node's own, to change as it likes.
    return plain_copy(
        services.graph.submitted if kind == "PROMPT" else services.assignment.extra_data.get(kind.lower())
    )


def missing_lazy_inputs(vertex: Vertex) -> dict[str, str]:
    """Lazy inputs that a node has not asked for -> the node that would give them."""
    lazy, asked = vertex.node_class.lazy, vertex.asked
    return {name: source for name, source, _ in vertex.links if name in lazy and name not in asked}


async def wanted_inputs(
    services: RunServices, vertex: Vertex, instance: object, inputs: dict[str, list[object]], missing: Container[str]
) -> list[str]:
    """Ask a node which of its missing lazy inputs it needs now; their names."""
    node_class = vertex.node_class
    check, takes, as_lists = node_class.definition.check_lazy, node_class.lazy_takes, node_class.spec.input_is_list
    assert check is not None
    known = {name: values for name, values in inputs.items() if takes is None or name in takes}
    wanted: dict[str, None] = {}
    for arguments in plan_calls(known, as_lists=as_lists):
        if blocker_among(arguments, as_lists=as_lists) is None:
            with current_node(RunContext(services, vertex.place)):
                answer = check(instance, **arguments)
            names = cast("Iterable[str] | None", await answer if isawaitable(answer) else answer)
            wanted.update((name, None) for name in names or () if name in missing)
    return list(wanted)
