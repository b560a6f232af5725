"""From inputs to calls of a node, and from what the calls return to its outputs.

Every input is a list of values. A node is called once for each place of the longest list, the last value of shorter
ones is repeated; an empty list means no call at all. A node with ``input_is_list`` is called once with the lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from inspect import isasyncgen, isgenerator
from typing import TYPE_CHECKING, TypeAlias, cast

from comfykernel_sdk.errors import ComfykernelError
from comfykernel_sdk.graph import Expansion, is_link
from comfykernel_sdk.nodes import Blocker, Result

from .node_class import FITTING
from .plain_data import plain_data

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from comfykernel_sdk.graph import Graph
    from comfykernel_sdk.json_types import JsonObject

    from .node_class import NodeClass

Arguments: TypeAlias = dict[str, object]


class WrongResult(ComfykernelError):
    """Raised when what a node returned does not fit its declaration."""

    default_type = "wrong_result"


@dataclass(frozen=True, slots=True)
class Returned:
    """What one call gave: a value for each output, something to show, a graph to run instead."""

    values: Sequence[object]
    ui: JsonObject | None = None
    graph: Graph | None = None


def plan_calls(inputs: dict[str, list[object]], *, as_lists: bool) -> list[Arguments]:
    """The arguments of each call."""
    if as_lists:
        return [{name: list(values) for name, values in inputs.items()}]
    longest = 1
    for values in inputs.values():
        size = len(values)
        if size != 1:
            if size == 0:
                return []
            longest = max(longest, size)
    if longest == 1:
        return [{name: values[0] for name, values in inputs.items()}]
    return [{name: values[min(i, len(values) - 1)] for name, values in inputs.items()} for i in range(longest)]


def blocker_among(arguments: Arguments, *, as_lists: bool) -> Blocker | None:
    """A blocker that keeps this call from being made."""
    for value in arguments.values():
        if isinstance(value, Blocker):
            return value
        if as_lists and isinstance(value, list):
            for item in value:
                if isinstance(item, Blocker):
                    return item
    return None


def blocked(node_class: NodeClass) -> Returned:
    """What a call gives that was not made: silent blockers, so that a message is shown only once."""
    return Returned((Blocker(),) * len(node_class.list_outputs))


def read_result(node_class: NodeClass, result: object) -> Returned:
    """Take apart what a call returned.

    Raises:
        WrongResult: the number of values is not that of the outputs.
    """
    if isinstance(result, Expansion):
        return Returned(_values(node_class, result.result), _plain_ui(result.ui), result.graph)
    if isgenerator(result) or isasyncgen(result):
        raise WrongResult(f"{node_class.id} returned a generator.", hint="A node returns its outputs, it yields none.")
    if not isinstance(result, Result):
        return Returned(_values(node_class, _as_tuple(node_class, result)))
    values = result.values
    if len(values) == 1 and len(node_class.list_outputs) != 1:
        values = _as_tuple(node_class, values[0])
    return Returned(_values(node_class, values), _plain_ui(result.ui))


def _as_tuple(node_class: NodeClass, result: object) -> tuple[object, ...]:
    """The return value as one value for each output."""
    count = len(node_class.list_outputs)
    if isinstance(result, Blocker):
        return (result,) * count
    if count == 0:
        return ()
    return tuple(result) if count > 1 and isinstance(result, (tuple, list)) else (result,)


def _values(node_class: NodeClass, values: tuple[object, ...]) -> tuple[object, ...]:
    count = len(node_class.list_outputs)
    if len(values) != count:
        raise WrongResult(f"{node_class.id} returned {len(values)} values for {count} outputs.")
    return values


def merge_outputs(
    node_class: NodeClass, calls: Sequence[Returned], resolved: Mapping[str, list[list[object]]]
) -> list[list[object]]:
    """The list of values of each output; links of expansions are looked up in ``resolved``.

    Raises:
        WrongResult: an output that is a list is none, a value can't be of its output's type, or a link points to an
            output that is not there.
    """
    outputs: list[list[object]] = [[] for _ in node_class.list_outputs]
    for returned in calls:
        for index, is_list in enumerate(node_class.list_outputs):
            value = returned.values[index]
            if returned.graph is not None and is_link(value) and str(value[0]) in resolved:
                outputs[index].extend(_follow(node_class, resolved[str(value[0])], int(value[1])))  # type: ignore[arg-type]
            elif is_list and not isinstance(value, Blocker):
                if not isinstance(value, (list, tuple)):
                    raise WrongResult(f"Output {index} of {node_class.id} is a list, not {type(value).__name__}.")
                outputs[index].extend(value)
            else:
                outputs[index].append(value)
    for index, wire_type in node_class.checked_outputs:
        for value in outputs[index]:
            if value is not None and not isinstance(value, Blocker) and not FITTING[wire_type](value):
                raise WrongResult(f"Output {index} of {node_class.id} is {wire_type}, not {type(value).__name__}.")
    return outputs


def merge_ui(calls: Sequence[Returned]) -> JsonObject | None:
    """What all calls want to show: lists are put together key by key."""
    shown = [returned.ui for returned in calls if returned.ui is not None]
    if len(shown) < 2:
        return shown[0] if shown else None
    merged: JsonObject = {}
    for ui in shown:
        for key, value in ui.items():
            items = merged.setdefault(key, [])
            assert isinstance(items, list)
            items.extend(value if isinstance(value, list) else [value])
    return merged


def _follow(node_class: NodeClass, outputs: list[list[object]], index: int) -> list[object]:
    if not 0 <= index < len(outputs):
        raise WrongResult(f"The expansion of {node_class.id} links to output {index} of a node with {len(outputs)}.")
    return outputs[index]


def _plain_ui(ui: Mapping[str, object] | None) -> JsonObject | None:
    """A ui value as data that can leave the process; without members it is nothing to show."""
    return cast("JsonObject", plain_data(ui)) if ui else None
