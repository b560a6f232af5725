"""Progress bars: each step is told to the client of the prompt."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from comfykernel_compat_comfyui.previews import encoded_preview
from comfykernel_compat_comfyui.running_nodes import context_of

ProgressHook: TypeAlias = Callable[..., None]
"""``hook(value, total, preview, node_id=...)``"""

PROGRESS_BAR_HOOK: ProgressHook | None = None


def set_progress_bar_enabled(enabled: bool) -> None:
    """Draw bars in the terminal, or don't."""
    from comfykernel_compat_comfyui.shims.comfy import utils

    utils.PROGRESS_BAR_ENABLED = enabled


def set_progress_bar_global_hook(function: ProgressHook | None) -> None:
    """Have a function called at each step of every bar in place of telling the client."""
    global PROGRESS_BAR_HOOK
    PROGRESS_BAR_HOOK = function


class ProgressBar:
    """Counts steps of the node that made it, or of the one that is named.

    Every step is also a place where a cancelled prompt stops.
    """

    def __init__(self, total: float, node_id: str | None = None) -> None:
        self.total = total
        self.current: float = 0
        self.node_id = node_id
        self.hook = PROGRESS_BAR_HOOK
        self._context = context_of(node_id)

    def update_absolute(self, value: float, total: float | None = None, preview: object = None) -> None:
        """So many steps are done. ``preview`` is ``(format, picture, longest side or None)``."""
        if total is not None:
            self.total = total
        self.current = min(value, self.total)
        if self.hook is not None:
            self.hook(self.current, self.total, preview, node_id=self.node_id)
            return
        context = context_of(self.node_id) if self._context is None else self._context
        if context is not None:
            context.progress(self.current, self.total, preview=encoded_preview(preview))

    def update(self, value: float) -> None:
        """So many more steps are done."""
        self.update_absolute(self.current + value)
