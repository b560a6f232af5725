"""Which node runs here."""

from __future__ import annotations

from typing import NamedTuple

from comfykernel_compat_comfyui.running_nodes import context_of


class ExecutionContext(NamedTuple):
    """The run that a node belongs to."""

    prompt_id: str
    node_id: str
    list_index: int | None = None


def get_executing_context() -> ExecutionContext | None:
    """The node of this thread or task; ``None`` when none runs."""
    context = context_of()
    return None if context is None else ExecutionContext(context.prompt_id, context.node_id)
