"""Door to the kernel: lets the server and the command line take documents of the web editor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfykernel_sdk.hooks import hookimpl

if TYPE_CHECKING:
    from comfykernel_sdk.hooks import RegisterWorkflowReader
    from comfykernel_sdk.transport import Kernel


@hookimpl
def register_workflow_readers(register: RegisterWorkflowReader) -> None:
    """Give the reader of the editor's documents to the command line."""
    from .reader import EditorReader

    register(EditorReader())


@hookimpl(tryfirst=True)
def on_startup(kernel: Kernel) -> None:
    """Convert documents that are submitted as prompts; the filters of other plugins come after and see the prompt."""
    from .submission import ConvertingFilter

    kernel.on_submit(ConvertingFilter(kernel))
