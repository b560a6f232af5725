"""The directories of files that the page reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .drawn_preview import drawn_preview
from .pack_folders import PackFolders
from .published import DOCS, folder_of, page_folder
from .template_files import template_folders

if TYPE_CHECKING:
    from collections.abc import Callable

    from comfykernel_sdk.transport import Kernel


def add_directories(register: Callable[..., None], kernel: Kernel) -> None:
    """Register all of them; what is not installed is left out."""
    packs = PackFolders(kernel)
    # The names of files in assets hold a hash of their content.
    register("/", page_folder(), lasting=("assets",))
    if folders := template_folders():
        register("/templates", folders, otherwise=drawn_preview)
    if (docs := folder_of(*DOCS)) is not None:
        register("/docs", docs)
    register("/extensions", packs.scripts)
    register("/api/workflow_templates", packs.templates)
