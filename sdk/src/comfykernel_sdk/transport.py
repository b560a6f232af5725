"""Protocol of transports, and the kernel as a transport sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, Unpack

import msgspec

from .events import Event, NumberedEvent, QueueChanged
from .jobs import EndedFilter, EndedKey, EndedQuestion, Job, PromptRequest, Submission
from .json_types import JsonObject

if TYPE_CHECKING:
    from .nodes import NodeSpec
    from .scheduler import WorkerStatus
    from .settings import Settings
    from .storage import FileStore, ModelStore, UserStore

PluginState: TypeAlias = Literal["found", "disabled", "loaded", "started", "failed"]


class PluginInfo(msgspec.Struct, kw_only=True):
    """What is known of one plugin. ``error`` is a traceback when ``state`` is ``failed``."""

    name: str
    kind: str
    distribution: str = ""
    version: str = ""
    state: PluginState = "found"
    error: str = ""
    seconds: float = 0.0
    hooks: list[str] = []


class Catalogued(msgspec.Struct, frozen=True):
    """Ready bytes of object_info: JSON, its gzip form and a strong entity tag (with quotes)."""

    json: bytes
    gzip: bytes
    etag: str


class BusEvent(msgspec.Struct, frozen=True, gc=False):
    """What a subscriber gets: an event of a job with its number and the client that asked for the job, or a change
    of the queue (then ``number`` is 0)."""

    event: Event | QueueChanged
    number: int = 0
    client_id: str | None = None
    user: str = "default"


class Kernel(Protocol):
    """The kernel's face for transports. All methods are called on the server's event loop."""

    settings: Settings
    files: FileStore
    models: ModelStore
    users: UserStore
    version: str

    async def submit(self, request: PromptRequest) -> Submission:
        """Validate a prompt and queue it; when this returns the job survives any crash.

        Raises:
            InvalidPrompt: it can't run; carries the errors in the peer's form.
            Conflict: its prompt_id belongs to a job that waits or runs.
        """

    async def validate_only(self, request: PromptRequest) -> dict[str, JsonObject]:
        """Errors by node without queueing; raises as :meth:`submit`."""

    def queue_remaining(self) -> int:
        """Number of jobs that wait or run."""

    def running(self) -> list[Job]:
        """Jobs that run, in the order in which they were taken."""

    def pending(self) -> list[Job]:
        """Jobs that wait, in the order in which they will run."""

    async def delete_pending(self, prompt_ids: list[str], *, user: str | None = None) -> list[str]:
        """Take jobs out of the queue; ids that don't wait are ignored. Returns the ids that were taken out."""

    async def clear_pending(self, *, user: str | None = None) -> int:
        """Take all waiting jobs out of the queue."""

    async def interrupt(self, prompt_id: str | None = None, *, user: str | None = None) -> bool:
        """Cancel what runs (only this prompt when given); tells whether there was something to cancel."""

    async def cancel(self, prompt_id: str, *, user: str | None = None) -> bool:
        """Cancel a job that waits or runs; tells whether there was one."""

    async def job(self, prompt_id: str) -> Job | None:
        """A job in whatever state."""

    async def history(self, **question: Unpack[EndedQuestion]) -> list[Job]:
        """Jobs that have ended, in the order and of the kind that is asked for."""

    async def history_keys(self, **question: Unpack[EndedQuestion]) -> list[EndedKey]:
        """The same without what is in them: much cheaper for who knows most of them already."""

    async def count_history(self, **filter: Unpack[EndedFilter]) -> int:
        """How many jobs of this kind are kept."""

    async def delete_history(self, prompt_ids: list[str], *, user: str | None = None) -> None:
        """Forget ended jobs; unknown ids are ignored."""

    async def clear_history(self, *, user: str | None = None) -> None:
        """Forget all ended jobs."""

    def subscribe(self, *, limit: int = 10_000) -> Subscription:
        """Listen to everything from now on. A subscriber that lets ``limit`` events pile up loses previews first,
        then is closed."""

    def replay(self, prompt_id: str, *, since: int = 0) -> AsyncIterator[NumberedEvent]:
        """The kept events of a job above a number, then those that come, to its end."""

    async def object_info(self) -> Catalogued:
        """All nodes. Waits for the first catalog when none is known yet.

        Raises:
            Unavailable: no worker could make a catalog; says why.
        """

    async def object_info_of(self, class_type: str) -> bytes:
        """JSON object with one node, ``{}`` for an unknown class."""

    def node_specs(self) -> dict[str, NodeSpec]:
        """The catalog as it is known now."""

    def plugins(self) -> list[PluginInfo]:
        """What is installed, chosen, failed."""

    def node_packs(self) -> list[JsonObject]:
        """What the workers told of their node packs: see :attr:`comfykernel_sdk.scheduler.Catalog.packs`."""

    def call_hook(self, name: str, **arguments: object) -> list[object]:
        """Call a hook in every plugin that implements it; what they return, ``None`` left out.

        For hooks that a transport's own plugin offers to others (its ``hookspecs``). An implementation that raises
        marks its plugin as failed; the others are called all the same.

        Raises:
            PluginError: no plugin offers such a hook.
        """

    def workers(self) -> list[WorkerStatus]:
        """The workers and their devices."""

    async def free(self, *, unload_models: bool = False, free_memory: bool = False) -> None:
        """Let workers drop models and cached outputs, after the prompt that runs."""

    async def restart_workers(self, *, finish_s: float) -> None:
        """Start all workers anew: see :meth:`comfykernel_sdk.scheduler.Scheduler.restart`.

        Raises:
            Unavailable: the scheduler can't do that.
        """

    def on_submit(self, filter: SubmitFilter) -> None:
        """Let a function, asynchronous or not, see and change requests before they are validated."""

    def on_read_nodes(self, refresh: Callable[[], Awaitable[None]]) -> None:
        """Have a function awaited whenever a client asks for nodes; it may call :meth:`update_nodes`."""

    def update_nodes(self, specs: Mapping[str, NodeSpec]) -> None:
        """Replace specs of nodes whose interface has changed since their worker told it."""


SubmitFilter: TypeAlias = Callable[[PromptRequest], "PromptRequest | Awaitable[PromptRequest]"]


class Subscription(Protocol):
    """An open ear on the bus."""

    def __aiter__(self) -> AsyncIterator[BusEvent]:
        """The events, until the subscription is closed."""

    def close(self) -> None:
        """Stop listening."""


class Transport(Protocol):
    """One way into the kernel: HTTP, or anything else."""

    async def start(self, kernel: Kernel) -> None:
        """Open for clients; returns as soon as it listens. Raises ``OSError`` when the address is taken."""

    async def stop(self) -> None:
        """Close all connections."""

    def addresses(self) -> list[str]:
        """Where clients reach it, for people."""


TransportFactory: TypeAlias = "Callable[[Settings], Transport]"
