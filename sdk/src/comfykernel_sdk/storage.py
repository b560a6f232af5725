"""Protocols of storage: files, models, users and jobs.

A storage plugin registers a factory under the name used in the configuration. File, model and user stores are
thread-safe and synchronous (nodes call them in the worker, transports through a thread); the job store is
asynchronous and lives in the server process only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, BinaryIO, Literal, Protocol, TypeAlias, Unpack

import msgspec

if TYPE_CHECKING:
    from pathlib import Path

    from .events import NumberedEvent
    from .jobs import EndedFilter, EndedKey, EndedQuestion, Job, JobState, Outcome
    from .json_types import JsonObject
    from .settings import Settings

FileKind: TypeAlias = Literal["input", "output", "temp"]
FileContent: TypeAlias = "bytes | Iterable[bytes | memoryview]"
"""What a file shall hold, at once or part by part."""
FILE_KINDS: tuple[FileKind, ...] = ("input", "output", "temp")


class FileRef(msgspec.Struct, frozen=True):
    """A file by kind, folder below it (``""``: none, separated by ``/``) and name: what clients see of a file."""

    filename: str
    subfolder: str = ""
    type: FileKind = "output"


class FileInfo(msgspec.Struct, frozen=True):
    """A file that exists. Times are seconds since 1970."""

    ref: FileRef
    size: int
    modified: float
    created: float = 0.0


class NumberedName(msgspec.Struct, frozen=True):
    """The place for the next numbered files of one prefix: ``{filename}_{counter:05}_.png`` and so on."""

    filename: str
    subfolder: str
    counter: int
    type: FileKind = "output"

    def ref(self, suffix: str, *, offset: int = 0, batch_number: int = 0) -> FileRef:
        """The file ``offset`` places after the first; ``%batch_num%`` in the name becomes ``batch_number``."""
        name = self.filename.replace("%batch_num%", str(batch_number))
        return FileRef(f"{name}_{self.counter + offset:05}_{suffix}", self.subfolder, self.type)


class FileStore(Protocol):
    """Input, output and temporary files. Every method confines names to the folder of their kind.

    Common errors: ``InvalidPath`` (a name that is absolute, has ``..``, NUL or is too long), ``Forbidden`` (a
    subfolder that leaves its folder), ``NotFound``.
    """

    def numbered(self, prefix: str, kind: FileKind, *, width: int = 0, height: int = 0) -> NumberedName:
        """Place for the next files of ``prefix``: the highest existing counter + 1, folders in the prefix created.

        Nothing is reserved: write with :meth:`write_numbered`, and show the name that it returns.

        ``%width% %height% %year% %month% %day% %hour% %minute% %second%`` are replaced.
        """

    def write(self, ref: FileRef, data: bytes | bytearray, *, overwrite: bool = True) -> FileRef:
        """Write a whole file, all or nothing.

        Without ``overwrite`` a name that is taken gives the existing file when its content is the same, else a new
        name ``NAME (1).EXT``. Returns the file that holds the data.
        """

    def write_numbered(
        self, place: NumberedName, suffix: str, data: FileContent, *, offset: int = 0, batch_number: int = 0
    ) -> FileRef:
        """Write a whole file under the first number from ``place.counter + offset`` on that is free.

        ``data`` is the content, or an iterable of its parts for a file that is larger than memory; when it raises,
        there is no file.
        The name is taken and filled in one step: two workers that save under one prefix never get the same name.
        """

    def open(self, ref: FileRef) -> BinaryIO:
        """Open for reading."""

    def info(self, ref: FileRef) -> FileInfo:
        """Size and times of a file."""

    def local_path(self, ref: FileRef) -> Path:
        """A path on this machine with the file's content (the file itself where the storage is local)."""

    def parse(self, name: str, default: FileKind = "input") -> FileRef:
        """A file by the text that node inputs hold: ``sub/name.png``, with `` [output]`` etc. at its end."""

    def list(self, kind: FileKind, *, recursive: bool = False) -> Iterator[FileInfo]:
        """The files of a kind (with ``recursive`` of its subfolders too), the newest first."""

    def delete(self, ref: FileRef) -> None:
        """Remove a file."""

    def folder(self, kind: FileKind) -> str:
        """Where the files of this kind are, for people: a path or an address."""

    def clear_temporary(self) -> None:
        """Remove all temporary files (at start and at stop of the server)."""


class ModelFile(msgspec.Struct, frozen=True):
    """A model file in a list. ``folder_index`` tells which of the folder's roots holds it."""

    name: str
    folder_index: int
    size: int
    modified: float
    created: float = 0.0


class ModelStore(Protocol):
    """Model files by folder (``checkpoints``, ``loras``, ``vae``, ...) and relative name with ``/``."""

    def folders(self) -> list[str]:
        """Names of the folders, in the order in which clients see them."""

    def roots(self, folder: str) -> list[str]:
        """Where the files of a folder are searched, in order. ``NotFound`` for an unknown folder."""

    def extensions(self, folder: str) -> frozenset[str]:
        """File name endings (with dot, lower case) that count as models there; empty: all."""

    def names(self, folder: str) -> list[str]:
        """Names of the files of a folder, sorted, those of the first root that has a name win."""

    def files(self, folder: str) -> list[ModelFile]:
        """The same with sizes and times."""

    def path(self, folder: str, name: str) -> Path:
        """A path on this machine with the model's content. ``NotFound``, ``InvalidPath``."""

    def add_root(self, folder: str, path: Path, *, first: bool = False) -> None:
        """Search this directory too; an unknown folder is created."""


class UserStore(Protocol):
    """Users, their settings and their files (workflows and the like)."""

    def users(self) -> dict[str, str]:
        """User id -> name."""

    def add_user(self, name: str) -> str:
        """Create a user and return its id. ``Conflict`` when the name is taken, ``BadInput`` when it is empty."""

    def settings(self, user: str) -> JsonObject:
        """All settings of a user."""

    def save_settings(self, user: str, changes: JsonObject) -> None:
        """Set some settings and keep the others."""

    def read(self, user: str, path: str) -> bytes:
        """Content of a user's file. ``NotFound``, ``InvalidPath``."""

    def write(self, user: str, path: str, data: bytes | bytearray, *, overwrite: bool = True) -> FileInfo:
        """Write a user's file, folders created. ``Conflict`` when it exists and may not be overwritten."""

    def move(self, user: str, source: str, destination: str, *, overwrite: bool = True) -> FileInfo:
        """Rename a user's file. ``NotFound``, ``Conflict``."""

    def delete(self, user: str, path: str) -> None:
        """Remove a user's file. ``NotFound``."""

    def list(self, user: str, folder: str, *, recursive: bool = False) -> list[FileInfo]:
        """Files below a folder; ``ref.filename`` is the path relative to it. ``NotFound`` without the folder."""


class JobStore(Protocol):
    """Durable jobs and their events. A method that changes something returns when the change is on disk.

    ``start``, ``requeue`` and ``finish`` raise ``NotFound`` for an unknown job and ``Conflict`` for one that has ended.
    """

    async def add(self, job: Job) -> Job:
        """Keep a new job; assigns ``sequence``.

        Raises:
            Conflict: ``prompt_id`` belongs to a job that waits or runs (one that has ended is replaced), or the
                user has submitted another job with this idempotency key.
        """

    async def get(self, prompt_id: str) -> Job | None:
        """A job in whatever state."""

    async def by_idempotency_key(self, user: str, key: str) -> Job | None:
        """The job that was submitted with this key."""

    async def unfinished(self) -> list[Job]:
        """Jobs that wait or run, in the order in which they will run."""

    async def start(self, prompt_id: str, *, worker: str, attempts: int, started_ms: int) -> None:
        """Mark as running."""

    async def requeue(self, prompt_id: str, *, attempts: int) -> None:
        """Put a running job back where it was in the queue."""

    async def finish(self, prompt_id: str, outcome: Outcome, *, ended_ms: int) -> None:
        """Record the end of a job and drop its secrets."""

    async def remove(self, prompt_ids: list[str], *, states: tuple[JobState, ...]) -> list[str]:
        """Delete jobs that are in one of the states, with their events; returns the ids that were deleted."""

    async def remove_all(self, *, states: tuple[JobState, ...], user: str | None = None) -> int:
        """Delete all jobs in these states (of one user); returns how many."""

    async def ended(self, **question: Unpack[EndedQuestion]) -> list[Job]:
        """Jobs that have ended, in the order and of the kind that is asked for."""

    async def ended_keys(self, **question: Unpack[EndedQuestion]) -> list[EndedKey]:
        """The same without what is in them."""

    async def count_ended(self, **filter: Unpack[EndedFilter]) -> int:
        """How many jobs of this kind are kept."""

    async def append_events(self, prompt_id: str, events: list[NumberedEvent]) -> None:
        """Keep events; numbers that are there already are replaced, events of an unknown job dropped."""

    def events(self, prompt_id: str, *, since: int = 0) -> AsyncIterator[NumberedEvent]:
        """The kept events with a number above ``since``, in order."""

    async def last_event_number(self, prompt_id: str) -> int:
        """Highest number among the kept events of a job, 0 without any."""

    async def trim(self, *, keep_jobs: int) -> int:
        """Delete the oldest ended jobs beyond ``keep_jobs`` with their events; returns how many."""

    async def close(self) -> None:
        """Finish what is being written and let go of the files."""


class Storage(Protocol):
    """What a storage plugin gives: three stores at once, and the job store when the server asks for it."""

    files: FileStore
    models: ModelStore
    users: UserStore

    async def open_jobs(self) -> JobStore:
        """Open the job store, bringing its format up to date. Called once, in the server process."""


StorageFactory: TypeAlias = "Callable[[Settings], Storage]"
"""Makes the storage from the settings; called in the server and in every worker process, so it is cheap."""
