"""The storage on a filesystem passes the kit that every storage must pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfykernel_sdk.testing.storage_conformance import StorageConformance
from comfykernel_storage_fs.plugin import make_storage

if TYPE_CHECKING:
    from comfykernel_sdk.settings import Settings
    from comfykernel_sdk.storage import Storage


class TestStorageFs(StorageConformance):
    def make_storage(self, settings: Settings) -> Storage:
        return make_storage(settings)
