"""What the function of a class returned, as the engine takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import GeneratorType
from typing import cast

from comfykernel_sdk.errors import ComfykernelError
from comfykernel_sdk.graph import Expansion, Graph, is_link
from comfykernel_sdk.nodes import Blocker, Result

from .borders import from_pack


class WrongReturnValue(ComfykernelError):
    """Raised when a function returned what no node may return."""

    default_type = "wrong_return_value"


def read_return_value(value: object, types: Sequence[str], name: str, *, may_leave_out: bool = False) -> object:
    """A Result, an Expansion or a Blocker.

    ``types`` are those of the outputs, ``name`` is the class, for errors. Values beyond the outputs are dropped. A node
    that only shows something gives ``None``. With ``may_leave_out`` there may be too few values: whoever uses an output
    that was left out is told so.

    Raises:
        WrongReturnValue: no tuple, list, dict or blocker, or too few values.
    """
    if isinstance(value, Blocker):
        return value
    if not isinstance(value, Mapping):
        return Result(*_outputs(value, types, name, may_leave_out=may_leave_out))
    ui, graph = value.get("ui"), value.get("expand")
    result = value.get("result", () if may_leave_out else (None,) * len(types))
    outputs = _outputs(result, types, name, may_leave_out=may_leave_out)
    return Result(*outputs, ui=ui) if graph is None else Expansion(_converted(graph), outputs, ui)


def _outputs(value: object, types: Sequence[str], name: str, *, may_leave_out: bool) -> tuple[object, ...]:
    if isinstance(value, Blocker):
        return (value,) * len(types)
    if not types:
        return ()
    if not isinstance(value, (tuple, list)):
        found = "a generator" if isinstance(value, GeneratorType) else type(value).__name__
        raise _wrong(found, types, name)
    if len(value) < len(types) and not may_leave_out:
        raise _wrong(f"{len(value)}", types, name)
    given = [item if is_link(item) else from_pack(item) for item in value[: len(types)]]
    return (*given, *(_left_out(index, len(given), types, name) for index in range(len(given), len(types))))


def _left_out(index: int, given: int, types: Sequence[str], name: str) -> Blocker:
    return Blocker(f"{name} returned {given} of its {len(types)} outputs: there is no {types[index]} at {index}.")


def _converted(graph: object) -> Graph:
    """The graph of an expansion, with the values that stand in it."""
    if not isinstance(graph, Mapping):
        raise WrongReturnValue(f"'expand' holds {type(graph).__name__}, not a graph of nodes.")
    # Inputs may hold any object, not only JSON.
    return cast("Graph", {str(id): _converted_node(node) for id, node in graph.items()})


def _converted_node(node: Mapping[str, object]) -> dict[str, object]:
    inputs = node.get("inputs")
    if not isinstance(inputs, Mapping):
        return dict(node)
    return {**node, "inputs": {k: v if is_link(v) else from_pack(v) for k, v in inputs.items()}}


def _wrong(found: str, types: Sequence[str], name: str) -> WrongReturnValue:
    wanted = f"{len(types)} output{'' if len(types) == 1 else 's'} ({', '.join(types)})"
    return WrongReturnValue(
        f"{name} returned {found} where {wanted} {'is' if len(types) == 1 else 'are'} due.",
        hint="A node returns a tuple with one value for each entry of RETURN_TYPES.",
    )
