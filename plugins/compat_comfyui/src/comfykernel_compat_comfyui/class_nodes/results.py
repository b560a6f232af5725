"""What the function of a class returned, as the engine takes it."""

from __future__ import annotations

from collections.abc import Mapping
from types import GeneratorType
from typing import TYPE_CHECKING

from comfykernel_sdk.errors import ComfykernelError
from comfykernel_sdk.graph import Expansion, Graph, is_link
from comfykernel_sdk.nodes import Blocker, Result

from .borders import from_pack

if TYPE_CHECKING:
    from collections.abc import Sequence

MEMBERS = ("ui", "result", "expand")


class WrongReturnValue(ComfykernelError):
    """Raised when a function returned what no node may return."""

    default_type = "wrong_return_value"


def read_return_value(value: object, types: Sequence[str], name: str) -> object:
    """A tuple of outputs, a Result, an Expansion or a Blocker.

    ``types`` are those of the outputs; values beyond them are dropped. ``name`` is the class, for errors.

    Raises:
        WrongReturnValue: something else, or too few outputs.
    """
    if isinstance(value, Blocker):
        return value
    if not isinstance(value, Mapping):
        return Result(*_outputs(value, types, name))
    ui, graph = value.get("ui"), value.get("expand")
    if graph is not None:
        return Expansion(_converted(graph), _outputs(value.get("result"), types, name), ui)
    if not any(member in value for member in MEMBERS):
        raise _wrong(name, types, f"a dict with the keys {sorted(map(str, value))}")
    result = value.get("result")
    if isinstance(result, Blocker):
        return Result(*(result for _ in types), ui=ui)
    # A node that only shows something may leave its outputs out.
    outputs = (None,) * len(types) if "result" not in value else _outputs(result, types, name)
    return Result(*outputs, ui=ui)


def _outputs(value: object, types: Sequence[str], name: str) -> tuple[object, ...]:
    if isinstance(value, Blocker):
        return (value,) * len(types)
    if value is None and not types:
        return ()
    if not isinstance(value, (tuple, list)):
        raise _wrong(name, types, "a generator" if isinstance(value, GeneratorType) else type(value).__name__)
    if len(value) < len(types):
        raise _wrong(name, types, f"{len(value)}")
    return tuple(item if is_link(item) else from_pack(item) for item, _ in zip(value, types, strict=False))


def _converted(graph: object) -> Graph:
    """The graph of an expansion, with the values that stand in it."""
    if not isinstance(graph, Mapping):
        raise WrongReturnValue(f"'expand' holds {type(graph).__name__}, not a graph of nodes.")
    return {str(id): _converted_node(node) for id, node in graph.items()}


def _converted_node(node: Mapping[str, object]) -> dict[str, object]:  # type: ignore[misc]
    inputs = node.get("inputs")
    if not isinstance(inputs, Mapping):
        return dict(node)
    return {**node, "inputs": {k: v if is_link(v) else from_pack(v) for k, v in inputs.items()}}


def _wrong(name: str, types: Sequence[str], found: str) -> WrongReturnValue:
    wanted = f"{len(types)} output{'' if len(types) == 1 else 's'} ({', '.join(types)})" if types else "no outputs"
    return WrongReturnValue(
        f"{name} returned {found} where {wanted} {'is' if len(types) == 1 else 'are'} due.",
        hint="A node returns a tuple with one value for each entry of RETURN_TYPES.",
    )
