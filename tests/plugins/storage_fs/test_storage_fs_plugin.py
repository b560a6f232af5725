"""The plugin's door: light to import, and its factory touches nothing."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from comfykernel_sdk.settings import PathSettings, Settings
from comfykernel_storage_fs import plugin

if TYPE_CHECKING:
    from pathlib import Path

    from comfykernel_sdk.storage import StorageFactory

HEAVY = ("sqlite3", "yaml", "filelock", "torch", "numpy", "asyncio")


def test_register_storage(tmp_path: Path) -> None:
    given: dict[str, StorageFactory] = {}
    plugin.register_storage(given.__setitem__)
    storage = given["fs"](Settings(paths=PathSettings(base=str(tmp_path / "base"))))
    assert storage.files.folder("output") == str(tmp_path / "base" / "output")
    assert not (tmp_path / "base").exists()


def test_the_door_is_light() -> None:
    code = f"import sys, comfykernel_storage_fs.plugin; print([m for m in {HEAVY} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
