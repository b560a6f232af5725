"""Jobs: what is asked for, in what state it is, and how it ended."""

from __future__ import annotations

import enum
import uuid
from typing import Literal, TypeAlias, TypedDict

import msgspec

from .graph import Graph
from .json_types import Json, JsonObject


def new_prompt_id() -> str:
    """A random UUID."""
    return str(uuid.uuid4())


class JobState(enum.StrEnum):
    """The states of a job. Queued and running jobs survive a crash of anything."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether the job will never run again."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


EndedOrder: TypeAlias = Literal["end", "creation", "duration"]
"""By what a list of ended jobs is sorted: when they ended, when they were accepted, how long they ran."""


class EndedFilter(TypedDict, total=False):
    """Which ended jobs: of a user, in these states, made from a workflow (:attr:`Job.workflow_id`); else all."""

    user: str | None
    states: tuple[JobState, ...] | None
    workflow_id: str | None


class EndedQuestion(EndedFilter, total=False):
    """A page of ended jobs: the lowest of ``order`` (``end``, unless told otherwise) first, or the newest."""

    order: EndedOrder
    newest_first: bool
    limit: int | None
    offset: int


class EndedKey(msgspec.Struct, frozen=True, gc=False):
    """An ended job without what is in it. A ``prompt_id`` may be used again; ``sequence`` may not."""

    prompt_id: str
    sequence: int
    started_ms: int | None
    ended_ms: int


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a job ended: what history shows of it.

    ``outputs``: node id -> ui value; ``meta``: node id -> ``{node_id, display_node, parent_node, real_node_id}``;
    ``messages``: ``[event type, data]`` pairs in the peer's form; ``graph``: the graph as it ran, with values
    converted and change tokens added (``None``: as it was submitted).
    """

    status: Literal["done", "failed", "cancelled"]
    outputs: dict[str, JsonObject] = {}
    meta: dict[str, JsonObject] = {}
    messages: list[tuple[str, JsonObject]] = []
    graph: Graph | None = None
    reason: str = ""


class Job(msgspec.Struct, kw_only=True):
    """One submitted prompt.

    ``number`` orders the queue, lower first, ties by ``prompt_id``; ``sequence`` is the order of acceptance.
    ``secrets`` are members of ``extra_data`` that workers may see but that never leave the server and are dropped when
    the job ends. ``attempts`` counts how often a worker took the job.
    """

    prompt_id: str
    number: float
    sequence: int = 0
    graph: Graph
    extra_data: JsonObject = {}
    secrets: JsonObject = {}
    outputs_to_execute: list[str] = []
    client_id: str | None = None
    user: str = "default"
    idempotency_key: str | None = None
    request_digest: str = ""
    state: JobState = JobState.QUEUED
    attempts: int = 0
    created_ms: int = 0
    started_ms: int | None = None
    ended_ms: int | None = None
    worker: str = ""
    outcome: Outcome | None = None

    @property
    def workflow_id(self) -> str | None:
        """Id of the editor's workflow that the prompt was made from, when the client sent one."""
        info = self.extra_data.get("extra_pnginfo")
        workflow = info.get("workflow") if isinstance(info, dict) else None
        id = workflow.get("id") if isinstance(workflow, dict) else None
        return id if isinstance(id, str) else None


class PromptRequest(msgspec.Struct, kw_only=True):
    """A request to run a prompt, as a transport hands it to the kernel.

    ``number`` places it in the queue (lower runs earlier), ``front`` puts it before all that wait.
    ``partial_execution_targets`` limits the output nodes (``None``: all of them).
    """

    graph: Graph
    prompt_id: str | None = None
    number: float | None = None
    front: bool = False
    extra_data: JsonObject = {}
    client_id: str | None = None
    partial_execution_targets: list[str] | None = None
    idempotency_key: str | None = None
    user: str = "default"


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """The kernel's answer to an accepted prompt. ``number`` is an int unless the client gave one (then a float)."""

    prompt_id: str
    number: int | float
    node_errors: dict[str, Json] = {}
    repeated: bool = False
    """True when the idempotency key showed that the job exists already; nothing new was queued."""
