"""What this distribution gives to the kernel: the node packs of the peer, as packs of comfykernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfykernel_sdk.hooks import hookimpl

if TYPE_CHECKING:
    from comfykernel_sdk.hooks import RegisterModelFolder, RegisterNodes
    from comfykernel_sdk.settings import Settings
    from comfykernel_sdk.storage import Storage


@hookimpl
def register_model_folders(register: RegisterModelFolder, settings: Settings) -> None:
    """Add the folders of packs that the settings name."""
    from pathlib import Path

    from .compat_settings import NAME, CompatSettings

    for folder in settings.of_plugin(NAME, CompatSettings).custom_nodes:
        register("custom_nodes", Path(folder).expanduser().absolute())


@hookimpl
def register_nodes(register: RegisterNodes, settings: Settings, storage: Storage | None) -> None:
    """Give every pack that is found; imports torch and all of them, unless there are none."""
    from .loading.worker_setup import load_into_worker

    load_into_worker(register, settings, storage)
