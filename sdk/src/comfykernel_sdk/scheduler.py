"""Protocol of schedulers: who takes jobs from the kernel's queue and where they run.

The kernel keeps the queue; a scheduler pulls from it whenever a worker is free, passes on what the worker says, and
tells how the job ended or that the worker was lost. Retrying is the kernel's decision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import msgspec

from .events import Event
from .graph import Graph
from .jobs import Outcome
from .json_types import JsonObject
from .nodes import NodeSpec

if TYPE_CHECKING:
    from .settings import Settings


class Assignment(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="run"):
    """A job as a worker gets it. ``extra_data`` includes the secrets."""

    prompt_id: str
    graph: Graph
    outputs_to_execute: list[str]
    extra_data: JsonObject = {}
    client_id: str | None = None
    attempt: int = 1
    user: str = "default"


class DeviceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One device and its memory in bytes."""

    name: str
    type: str
    index: int | None = None
    vram_total: int = 0
    vram_free: int = 0
    torch_vram_total: int = 0
    torch_vram_free: int = 0


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One worker as people and ``/system_stats`` see it."""

    name: str
    device: DeviceStatus
    state: Literal["starting", "idle", "busy", "stopping", "restarting", "failed"]
    prompt_id: str | None = None
    pid: int | None = None
    restarts: int = 0
    error: str = ""
    torch_version: str = ""
    cache_bytes: int = 0
    model_bytes: int = 0


class Catalog(msgspec.Struct, kw_only=True):
    """All nodes that a worker found. ``fingerprint`` names the installed distributions that they came from."""

    nodes: dict[str, NodeSpec] = {}
    packs: list[JsonObject] = []
    """``{name, plugin, distribution, version, nodes, seconds, error, directory, web_directory, replacements}`` of each;
    ``plugin``, which registered it, is ``{name, distribution, error}``."""
    collisions: list[JsonObject] = []
    """``{id, winner, losers}`` where several packs claim one node id."""
    fingerprint: str = ""


class ValidationQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """Asks a node's own validator.

    ``constants`` holds the inputs it may see (linked ones are ``None``), ``input_types`` the types of linked inputs.
    """

    node_id: str
    class_type: str
    constants: JsonObject
    input_types: dict[str, str]


class ValidationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """``result``: ``True``, ``False`` or a text; ``error`` is set when the validator raised."""

    node_id: str
    result: bool | str = True
    error: JsonObject | None = None
    """``{"exception_message", "exception_type", "traceback"}``."""


class WorkerCommand(msgspec.Struct, frozen=True, kw_only=True):
    """How to start a worker process: run ``argv`` with ``env`` added; it speaks the channel protocol
    (:mod:`comfykernel_sdk.channel`) on the inherited socket whose number stands in ``fd_variable``."""

    argv: list[str]
    env: dict[str, str]
    fd_variable: str = "COMFYKERNEL_WORKER_FD"


class Witness(Protocol):
    """Is shown what events do not carry: for tests and programs that want the values."""

    def outputs(self, node_id: str, outputs: list[list[object]]) -> None:
        """A node has run or was reused: for each output the list of its values."""

    def failed(self, error: BaseException) -> None:
        """The run has failed with this exception."""


class Engine(Protocol):
    """What runs prompts, one at a time: made by :meth:`SchedulerHost.engine_factory` in whatever process."""

    @property
    def catalog(self) -> Catalog:
        """All nodes, packs and collisions."""

    async def run(
        self, assignment: Assignment, emit: Callable[[Event], None], *, witness: Witness | None = None
    ) -> Outcome:
        """Run a prompt to its end; ``emit`` gets every event in order, from any thread, and must not block."""

    def interrupt(self, prompt_id: str, *, expected: bool = False) -> bool:
        """Stop a prompt that runs, or with ``expected`` one that is about to; from any thread."""

    def validate(self, questions: list[ValidationQuestion]) -> list[ValidationAnswer]:
        """Ask the nodes' own validators; blocks, from any thread without a running event loop."""

    def free(self, *, unload_models: bool, free_memory: bool) -> None:
        """Drop models or cached outputs. Only between two prompts."""

    def cache_bytes(self) -> int:
        """Bytes of the outputs that are kept."""

    def model_bytes(self) -> int:
        """Bytes of the models that are loaded."""

    def device_status(self) -> DeviceStatus | None:
        """The device with its memory; ``None``: nobody knows."""


class SchedulerHost(Protocol):
    """The kernel's face for schedulers. All methods are called on the server's event loop."""

    settings: Settings

    def worker_command(self, device: str) -> WorkerCommand:
        """How to start a worker process for a device (``cpu``, ``cuda:0`` ...).

        The program is the module that a distribution names in the entry point group ``comfykernel.worker``.

        Raises:
            PluginError: there is none.
        """

    def engine_factory(self) -> str:
        """``module:function`` that makes an :class:`Engine` in the current process, given the settings."""

    async def take(self, worker: str) -> Assignment:
        """Wait for the next job and mark it as running there."""

    def emit(self, event: Event) -> None:
        """Pass on what a worker says about the job it runs."""

    async def finish(self, prompt_id: str, outcome: Outcome) -> None:
        """The job has ended; returns when that is on disk."""

    async def lost(
        self, prompt_id: str, reason: str, *, node_id: str = "", node_type: str = "", blameless: bool = False
    ) -> None:
        """The worker died under this job: the kernel queues it again or fails it with the reason.

        ``blameless``: the worker was ended on purpose; the job is queued again and the attempt does not count.
        """

    def set_catalog(self, catalog: Catalog) -> None:
        """A worker is ready and has told its nodes."""

    def report_worker(self, status: WorkerStatus) -> None:
        """The state of a worker has changed."""

    def log_line(self, text: str) -> None:
        """A line that a worker printed."""


class Scheduler(Protocol):
    """Runs jobs somewhere."""

    async def start(self, host: SchedulerHost) -> None:
        """Start workers and return without waiting for them to be ready."""

    async def stop(self) -> None:
        """Stop all workers; jobs that run stay marked as running and go on after the next start."""

    async def interrupt(self, prompt_id: str) -> bool:
        """Cancel a running job; tells whether it ran here."""

    async def validate(self, questions: list[ValidationQuestion]) -> list[ValidationAnswer]:
        """Ask the nodes' own validators in a worker.

        Raises:
            Unavailable: no worker answers.
        """

    async def free(self, *, unload_models: bool, free_memory: bool) -> None:
        """Let every worker drop models or cached outputs when it is between two prompts."""

    async def restart(self, *, finish_s: float) -> None:
        """Start every worker anew, so that it imports its nodes again; returns when all are ready or have failed.

        A job that runs may go on for ``finish_s`` seconds, then it goes back to the kernel as ``blameless``.

        Raises:
            Unavailable: the nodes live in a process that can't be started anew.
        """

    def workers(self) -> list[WorkerStatus]:
        """The workers as they are now."""


SchedulerFactory: TypeAlias = "Callable[[Settings], Scheduler]"
