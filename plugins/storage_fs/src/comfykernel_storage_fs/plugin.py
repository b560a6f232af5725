"""The door to the kernel: registers the storage ``fs``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfykernel_sdk.hooks import RegisterStorage, hookimpl

if TYPE_CHECKING:
    from comfykernel_sdk.settings import Settings
    from comfykernel_sdk.storage import Storage


def make_storage(settings: Settings) -> Storage:
    """The storage on this machine's filesystem; touches no file yet."""
    from .storage import FilesystemStorage

    return FilesystemStorage(settings)


@hookimpl
def register_storage(register: RegisterStorage) -> None:
    """Offer the storage under the name ``fs``."""
    register("fs", make_storage)
