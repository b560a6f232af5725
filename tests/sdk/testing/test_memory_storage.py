"""The storage in memory keeps the contract of every storage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfykernel_sdk.testing import MemoryStorage
from comfykernel_sdk.testing.storage_conformance import StorageConformance

if TYPE_CHECKING:
    from comfykernel_sdk.settings import Settings
    from comfykernel_sdk.storage import Storage


class TestMemoryStorage(StorageConformance):
    """A storage made again with the same settings is the same one: memory has no other restart."""

    def make_storage(self, settings: Settings) -> Storage:
        made: dict[str, MemoryStorage] = self.__dict__.setdefault("made", {})
        return made.setdefault(settings.paths.base, MemoryStorage(settings))
