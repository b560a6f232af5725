"""The account of a failure: which node, with which inputs, and why."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from comfykernel_sdk.events import ExecutionFailed

if TYPE_CHECKING:
    from types import TracebackType

    from comfykernel_sdk.json_types import Json, JsonObject

LONGEST_TEXT: Final = 2_000
"""Characters of a value that is no JSON in an error message."""
ENGINE_FOLDER: Final = str(Path(__file__).parent)


@final
class Failure:
    """A node of the prompt, and the error that it or a node of its expansion made."""

    __slots__ = ("error", "inputs", "node_id", "node_type", "nodes")

    def __init__(
        self, node_id: str, node_type: str, error: BaseException | str, *, inputs: JsonObject, nodes: list[str]
    ) -> None:
        self.node_id = node_id
        self.node_type = node_type
        self.error = error
        self.inputs = inputs
        self.nodes = nodes

    def event(self, prompt_id: str, executed: list[str]) -> ExecutionFailed:
        """The failure as clients see it; a text as error is the message of a blocker."""
        error = self.error
        if isinstance(error, str):
            return ExecutionFailed(
                prompt_id=prompt_id, node_id=self.node_id, node_type=self.node_type, executed=executed,
                exception_message=f"Execution Blocked: {error}", exception_type="ExecutionBlocked", traceback=[],
                timed=False,
            )  # fmt: skip
        return ExecutionFailed(
            prompt_id=prompt_id, node_id=self.node_id, node_type=self.node_type, executed=executed,
            exception_message=f"{error}\n", exception_type=type_name(error), traceback=node_traceback(error),
            current_inputs=self.inputs, current_outputs=self.nodes,
        )  # fmt: skip


def type_name(error: BaseException) -> str:
    """Name of an exception's class, with its module unless it is built in."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def node_traceback(error: BaseException) -> list[str]:
    """Lines of the traceback from the node's own code on; all of it when the engine itself failed."""
    frame: TracebackType | None = error.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename.startswith(ENGINE_FOLDER):
        frame = frame.tb_next
    return traceback.format_tb(frame or error.__traceback__)


def shown_inputs(inputs: dict[str, list[object]], hidden: frozenset[str]) -> JsonObject:
    """Inputs for people: lists of plain values, other values by type and shape; hidden ones are left out."""
    return {name: [_shown(value) for value in values] for name, values in inputs.items() if name not in hidden}


def _shown(value: object) -> Json:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    shape = getattr(value, "shape", None)
    if shape is not None:
        return f"{type(value).__name__} {list(shape)} {getattr(value, 'dtype', '')}".rstrip()
    text = str(value)
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}..."
