"""A storage that forgets everything with the process; the real interface for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .memory_files import MemoryFiles
from .memory_jobs import MemoryJobs
from .memory_models import MemoryModels
from .memory_users import MemoryUsers

if TYPE_CHECKING:
    from ..settings import Settings
    from ..storage import FileStore, ModelStore, UserStore


class MemoryStorage:
    """A ``Storage``. Opening the job store again gives what was in it: that is a restart."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.files: FileStore = MemoryFiles()
        self.models: ModelStore = MemoryModels()
        self.users: UserStore = MemoryUsers(multi_user=settings is not None and settings.http.multi_user)
        self.jobs = MemoryJobs()

    async def open_jobs(self) -> MemoryJobs:
        """The job store."""
        return self.jobs
