"""The account of a failure: which node, with which inputs, and why."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final

import comfykernel_sdk
from comfykernel_sdk.events import ExecutionFailed

if TYPE_CHECKING:
    from collections.abc import Container, Iterable
    from types import TracebackType

    from comfykernel_sdk.json_types import Json, JsonObject

LONGEST_TEXT: Final = 2_000
"""Characters of a value that is no JSON in an error message."""
LONGEST_ID: Final = 200
"""Characters of a node id in the list of all nodes: those of deep expansions hold the ids of all that they lie in."""
OWN_FOLDERS: Final = (str(Path(__file__).parent), str(Path(comfykernel_sdk.__file__).parent))
"""Of the engine and the sdk, whose frames between the engine and a node's code tell its author nothing."""


def failure_event(
    prompt_id: str, node_id: str, node_type: str, error: BaseException, *, inputs: JsonObject, executed: list[str],
    nodes: Iterable[str],
) -> ExecutionFailed:  # fmt: skip
    """The failure of a node of the prompt, which it or a node of its expansion made; ``nodes``: ids of all nodes."""
    return ExecutionFailed(
        prompt_id=prompt_id, node_id=node_id, node_type=node_type, executed=executed,
        exception_message=f"{error}\n", exception_type=type_name(error), traceback=node_traceback(error),
        current_inputs=inputs, current_outputs=[id for id in nodes if len(id) <= LONGEST_ID],
    )  # fmt: skip


def block_event(prompt_id: str, node_id: str, node_type: str, message: str, *, executed: list[str]) -> ExecutionFailed:
    """The message of a blocker, told where it stopped a node; the prompt goes on."""
    return ExecutionFailed(
        prompt_id=prompt_id, node_id=node_id, node_type=node_type, executed=executed,
        exception_message=f"Execution Blocked: {message}", exception_type="ExecutionBlocked", traceback=[], timed=False,
    )  # fmt: skip


def type_name(error: BaseException) -> str:
    """Name of an exception's class, with its module unless it is built in."""
    kind = type(error)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def node_traceback(error: BaseException) -> list[str]:
    """Lines of the traceback from the node's own code on; all of it when the engine itself failed."""
    frame: TracebackType | None = error.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename.startswith(OWN_FOLDERS):
        frame = frame.tb_next
    return traceback.format_tb(frame or error.__traceback__)


def shown_inputs(inputs: dict[str, list[object]], hidden: Container[str]) -> JsonObject:
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
