"""The four stores over one set of folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from comfykernel_sdk.errors import ConfigError

from .files import FolderFileStore
from .leftovers import remove_leftovers_soon
from .model_folders import peer_folders
from .models import FolderModelStore
from .users import FolderUserStore

if TYPE_CHECKING:
    from comfykernel_sdk.settings import Settings
    from comfykernel_sdk.storage import FileKind, FileStore, JobStore, ModelStore, UserStore

PLUGIN = "storage_fs"
DATABASE = "jobs.sqlite"
EXTRA_MODEL_PATHS = "extra_model_paths.yaml"
"""Read without being asked for when it lies in the base folder."""


class StorageFsSettings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The table ``[plugin.storage_fs]``."""

    synchronous: Literal["full", "normal"] = "full"
    """``full``: an accepted job survives a power cut; ``normal``: it survives a kill of the server only."""


class FilesystemStorage:
    """Files, models and users in folders, jobs in SQLite below the state folder."""

    files: FileStore
    models: ModelStore
    users: UserStore

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._own = settings.of_plugin(PLUGIN, StorageFsSettings)
        folders: dict[FileKind, Path] = {
            "input": settings.paths.folder("input").absolute(),
            "output": settings.paths.folder("output").absolute(),
            "temp": settings.paths.folder("temp").absolute(),
        }
        _refuse_shared_temp(settings, folders["temp"])
        self.files = FolderFileStore(folders)
        self._written = [folders["input"], folders["output"], settings.paths.folder("user").absolute()]
        self.models = self._make_models(folders["output"])
        state = settings.paths.folder("state").absolute()
        self.users = FolderUserStore(
            settings.paths.folder("user").absolute(), multi_user=settings.http.multi_user, locks=state
        )

    async def open_jobs(self) -> JobStore:
        """Open the job database, bringing its format up to date.

        Raises:
            PluginError: another server has it open, or it was written by a newer version.
        """
        from .jobs import SqliteJobStore

        # The server opens the jobs, and one process that looks for leftovers is enough.
        remove_leftovers_soon(self._written)
        return await SqliteJobStore.open(
            self._settings.paths.folder("state").absolute() / DATABASE, synchronous=self._own.synchronous
        )

    def _make_models(self, output: Path) -> FolderModelStore:
        paths = self._settings.paths
        base = Path(paths.base).absolute()
        folders = peer_folders(paths.folder("models").absolute(), custom_nodes=base / "custom_nodes", output=output)
        store = FolderModelStore(folders)
        beside = base / EXTRA_MODEL_PATHS
        for file in (*([str(beside)] if beside.is_file() else []), *paths.extra_model_paths):
            from .extra_model_paths import read_extra_model_paths

            for root in read_extra_model_paths(file):
                store.add_root(root.folder, root.path, first=root.first)
        return store


def _refuse_shared_temp(settings: Settings, temp: Path) -> None:
    """The temp folder is emptied at each start: no other folder may lie in it or be the same."""
    for name in ("input", "output", "models", "user", "state"):
        other = settings.paths.folder(name).absolute()
        if other.resolve().is_relative_to(temp.resolve()):
            raise ConfigError(
                f"The temp folder {temp} holds the {name} folder {other}.",
                hint="It is emptied at each start: set paths.temp to a folder of its own.",
                extra_info={"setting": "paths.temp"},
            )
