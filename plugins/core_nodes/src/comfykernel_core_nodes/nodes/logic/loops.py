"""Nodes that repeat a part of a graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias, TypedDict

from comfykernel_core_nodes.nodes.declare import extra_node
from comfykernel_core_nodes.nodes.logic.loop_bodies import Copies, start_of
from comfykernel_sdk.context import NodeContext
from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.graph import Expansion, GraphBuilder, GraphNode
from comfykernel_sdk.nodes import Blocker
from comfykernel_sdk.sockets import AnyValue, Choice, Growing, Int, Out, Socket, Toggle

loop_node = extra_node("nodes_loop")

MOST_COPIES: Final = 20_000
"""Nodes that a loop may add to a graph."""

LARGEST: Final = 2**63 - 1


class Simple(TypedDict):
    """A number of times."""

    mode: Literal["simple"]
    num_iterations: Annotated[int, Int(default=4, min=0)]


class For(TypedDict):
    """From a number up to, and without, another one."""

    mode: Literal["For"]
    start_iteration_index: Annotated[int, Int(default=0)]
    max_iteration: Annotated[int, Int(default=4, max=LARGEST)]
    step: Annotated[int, Int(default=1, min=1)]


class Items(TypedDict):
    """Once for each item of a list."""

    mode: Literal["List"]
    list: AnyValue


Mode: TypeAlias = Annotated[Simple | For | Items, Choice(tooltip="What the iterations are counted by.")]
Outputs: TypeAlias = tuple[
    Annotated[int, Out("iteration_index")],
    Annotated[bool, Out("is_first")],
    Annotated[bool, Out("is_last")],
    Annotated[AnyValue, Out("list_item")],
    Annotated[AnyValue, Out("current_iteration_value")],
]


def indices_of(mode: Mapping[str, Any]) -> range:
    """The index of each iteration; every value of a mode stands in a list."""
    kind = mode["mode"][0]
    if kind == "simple":
        return range(mode["num_iterations"][0])
    if kind == "List":
        return range(len(mode["list"]))
    if mode["step"][0] < 1:
        raise BadInput(f"The step of a loop is {mode['step'][0]}.", type="invalid_loop", hint="It must be at least 1.")
    return range(mode["start_iteration_index"][0], mode["max_iteration"][0], mode["step"][0])


@loop_node("StartLoop", category="logic/loop", display_name="Start Loop", input_is_list=True)
def start_loop(
    mode: Mode,
    cache_iterations: Annotated[bool, Toggle(default=False)],
    parent_iteration: Annotated[int | None, Int(force_input=True)] = None,
    initial_iteration_value: AnyValue = None,
) -> Outputs:
    """Begin a part of the graph that is repeated, up to an End Loop. Without an iteration it does not run.

    Args:
        cache_iterations: iterations of which nothing has changed are reused in any case.
        parent_iteration: the index of an outer loop, so that this one is repeated with it.
        initial_iteration_value: what the first iteration gets as current value.
    """
    values: Any = mode
    given: Any = initial_iteration_value
    indices = indices_of(values)
    if not indices:
        nothing: Any = Blocker()
        return nothing, nothing, True, nothing, nothing
    item = values["list"][0] if values["mode"][0] == "List" else None
    return indices[0], True, len(indices) == 1, item, given[0] if given else None


@loop_node("EndLoop", category="logic/loop", display_name="End Loop", input_is_list=True)
def end_loop(
    context: NodeContext,
    output_value: AnyValue = None,
    next_iteration_value: AnyValue = None,
    accumulate: Annotated[bool, Toggle(default=False)] = False,
    terminations: Annotated[dict[str, AnyValue] | None, Growing("termination", min=0, max=50)] = None,
) -> Expansion | list[AnyValue]:
    """End the part of the graph that a Start Loop begins, and repeat it.

    Gives the value of the last iteration, or those of all.

    Args:
        next_iteration_value: what the next iteration gets as current value.
        terminations: values that every iteration makes, though nobody uses them.

    Raises:
        BadInput: no Start Loop, or several of them, lead here.
    """
    graph = context.graph()
    start = start_of(graph, context.node_id)
    inputs = graph[start].get("inputs")
    builder = GraphBuilder()
    rest = builder.node("LoopIterations", start=start, end=context.node_id)
    for name, value in (inputs if isinstance(inputs, dict) else {}).items():
        if name.partition(".")[0] == "mode":
            rest.set_input(name, value)
    return Expansion(builder.finalize(), (rest.out(0),))


@loop_node("LoopIterations", category="logic/loop", input_is_list=True, deprecated=True)
def loop_iterations(
    context: NodeContext, start: list[str], end: list[str], mode: Mode
) -> Expansion | Annotated[list[AnyValue], Out("outputs")]:
    """What End Loop becomes: the iterations after the first one, as a graph."""
    values: Any = mode
    graph, builder, indices = context.graph(), GraphBuilder(), indices_of(values)
    copies = Copies(graph, start[0], end[0], builder)
    if len(indices) * max(1, len(copies.body)) > MOST_COPIES:
        raise BadInput(
            f"{len(indices)} iterations of {len(copies.body)} nodes are too many.", type="long_loop",
            hint=f"A loop may add {MOST_COPIES} nodes to a graph.",
        )  # fmt: skip
    closing: Any = graph[end[0]].get("inputs") or {}
    opening: Any = graph[start[0]].get("inputs") or {}
    ends = _ends(closing)
    collected = builder.node("LoopCollect", "0", **ends)
    value = closing.get("next_iteration_value")
    for number, index in enumerate(indices[1:], start=1):
        is_last = number == len(indices) - 1
        iteration = builder.node("LoopIteration", f"{number}", index=index, is_last=is_last)
        iteration.set_override_display_id(start[0])
        iteration.set_input("value", value)
        if "mode.list" in opening:
            iteration.set_input("item", _item(builder, opening["mode.list"], number).out(0))
        moved = copies.add(number, iteration)
        value = moved(closing.get("next_iteration_value"))
        following = {name: moved(link) for name, link in ends.items()}
        collected = builder.node("LoopCollect", f"{number}.end", collected=collected.out(0), **following)
    return Expansion(builder.finalize(), (collected.out(0),))


def _ends(closing: Mapping[str, object]) -> dict[str, object]:
    """Inputs of End Loop as those of a node that collects the values of an iteration."""
    kept = ("accumulate", "output_value")
    return {n: v for n, v in closing.items() if n in kept or n.startswith("terminations.")}


def _item(builder: GraphBuilder, list_: object, index: int) -> GraphNode:
    return builder.node("GetItemFromList", f"{index}.item", list=list_, index=index)


@loop_node("LoopIteration", category="logic/loop", deprecated=True)
def loop_iteration(
    index: int,
    is_last: bool,
    item: AnyValue = None,
    value: AnyValue = None,
) -> Outputs:
    """What Start Loop is in an iteration after the first one."""
    return index, False, is_last, item, value


@loop_node("LoopCollect", category="logic/loop", input_is_list=True, deprecated=True)
def loop_collect(
    output_value: AnyValue = None,
    collected: AnyValue = None,
    accumulate: Annotated[bool, Socket("BOOLEAN")] = False,
    terminations: Annotated[dict[str, AnyValue] | None, Growing("termination", min=0, max=50)] = None,
) -> Annotated[list[AnyValue], Out("outputs")]:
    """The values of an iteration, behind those of the iterations before where all are wanted."""
    before: Any = collected
    values: Any = output_value
    wants_all: Any = accumulate
    return [*(before or []), *(values or [])] if wants_all and wants_all[0] else [*(values or [])]
