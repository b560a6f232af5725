"""Progress of nodes, as nodes report it themselves."""

from __future__ import annotations

from typing import Final

from comfykernel_compat_comfyui.running_nodes import context_of

__all__ = ["ProgressRegistry", "get_progress_state"]


class ProgressRegistry:
    """Reports progress of nodes by their id."""

    def update_progress(self, node_id: str, value: float, max_value: float, image: object = None) -> None:
        """Report a step of a running node; of a node that does not run nothing is said."""
        from comfykernel_compat_comfyui.previews import encoded_preview

        context = context_of(node_id)
        if context is not None:
            context.progress(value, max_value, preview=encoded_preview(image))


_registry: Final = ProgressRegistry()


def get_progress_state() -> ProgressRegistry:
    """The registry of the prompt that runs."""
    return _registry
