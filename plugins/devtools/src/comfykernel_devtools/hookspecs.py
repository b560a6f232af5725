"""The hook that this plugin offers to others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from comfykernel_sdk.hooks import hookspec

if TYPE_CHECKING:
    from pathlib import Path

    from comfykernel_sdk.settings import Settings

RegisterReloadFolder: TypeAlias = "Callable[[Path], None]"


@hookspec
def register_reload_folders(register: RegisterReloadFolder, settings: Settings) -> None:
    """Name folders whose Python files are node packs. Called in the server when it begins to watch and after reloads.

    ``register(path)``; a folder that does not exist is left out.
    """
