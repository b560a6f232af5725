"""Everything the kernel says about jobs: frozen, tagged structs that cross processes as msgpack.

Events of one job are numbered by the kernel from 1 on in the order in which they happened and kept (previews and
progress excepted: they are numbered, passed on and forgotten). ``timestamp`` is milliseconds since 1970.
"""

from __future__ import annotations

import time
from typing import Literal, TypeAlias

import msgspec

from .json_types import Json, JsonObject


def now_ms() -> int:
    """The time of an event: milliseconds since 1970."""
    return int(time.time() * 1000)


class NodePlace(msgspec.Struct, frozen=True, gc=False):
    """Where a node stands: its own id, the node that the client sees, and the nodes it comes from."""

    node_id: str
    display_node_id: str
    parent_node_id: str | None = None
    real_node_id: str | None = None

    def real(self) -> str:
        """Id of the node of the submitted graph that this one descends from."""
        return self.real_node_id or self.node_id


class JobEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=True, gc=False):
    """Base of all events that belong to a job. Plain data never forms a ring, so the garbage collector is spared it."""

    prompt_id: str
    timestamp: int = msgspec.field(default_factory=now_ms)


class JobQueued(JobEvent, frozen=True, kw_only=True, tag="job_queued"):
    """A job was accepted (or put back after its worker was lost)."""

    number: float


class ExecutionStarted(JobEvent, frozen=True, kw_only=True, tag="execution_start"):
    """A worker took the job."""

    worker: str = ""
    attempt: int = 1


class ExecutionCached(JobEvent, frozen=True, kw_only=True, tag="execution_cached"):
    """Which nodes will not run because their outputs are known; ids in the order of the graph."""

    nodes: list[str]


class NodeStarted(JobEvent, frozen=True, kw_only=True, tag="executing"):
    """A node begins."""

    place: NodePlace


class NodeProgress(JobEvent, frozen=True, kw_only=True, tag="progress"):
    """State of one node.

    ``announce`` says what clients are told: ``state`` only the collected progress of all nodes, ``progress`` the
    value of this node as well (a step that the node itself reported). With ``has_preview`` the next event is the
    :class:`NodePreview` of the same step: some clients are sent the picture before the value.
    """

    place: NodePlace
    value: float
    max: float
    state: Literal["pending", "running", "finished", "error"]
    announce: Literal["state", "progress"] = "state"
    has_preview: bool = False


class NodePreview(JobEvent, frozen=True, kw_only=True, tag="preview"):
    """An encoded picture of what a node is making."""

    place: NodePlace
    image: bytes
    format: Literal["JPEG", "PNG"]


class NodeText(JobEvent, frozen=True, kw_only=True, tag="text"):
    """A text to be shown at a node; ``broadcast`` sends it to every client."""

    node_id: str
    text: str
    broadcast: bool = False


class NodeOutput(JobEvent, frozen=True, kw_only=True, tag="executed"):
    """A node has something to show: ``output`` is its ui value (``None`` for a cached output node without one)."""

    place: NodePlace
    output: JsonObject | None
    cached: bool = False


class NodeMessage(JobEvent, frozen=True, kw_only=True, tag="message"):
    """A message of a node pack's own: goes to ``client_id``, or to everybody when that is ``None``."""

    event: str
    data: Json
    client_id: str | None = None


class ExecutionSucceeded(JobEvent, frozen=True, kw_only=True, tag="execution_success"):
    """All outputs are made."""


class ExecutionFailed(JobEvent, frozen=True, kw_only=True, tag="execution_error"):
    """A node failed (or the worker did: then ``node_id`` is the node that was running, or empty)."""

    node_id: str
    node_type: str
    executed: list[str]
    exception_message: str
    exception_type: str
    traceback: list[str]
    current_inputs: JsonObject = {}
    current_outputs: list[str] = []
    timed: bool = True
    """False for the error of an execution blocker, which carries no time in the messages of the peer."""


class ExecutionInterrupted(JobEvent, frozen=True, kw_only=True, tag="execution_interrupted"):
    """The job was cancelled while it ran."""

    node_id: str
    node_type: str
    executed: list[str]


class JobFinished(JobEvent, frozen=True, kw_only=True, tag="job_finished"):
    """The job has reached its end and its history can be read: the last event of a job."""

    status: Literal["done", "failed", "cancelled"]


class QueueChanged(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="status"):
    """The number of jobs that wait or run has changed, or one was taken from the queue. Belongs to no job."""

    queue_remaining: int


Event: TypeAlias = (
    JobQueued
    | ExecutionStarted
    | ExecutionCached
    | NodeStarted
    | NodeProgress
    | NodePreview
    | NodeText
    | NodeOutput
    | NodeMessage
    | ExecutionSucceeded
    | ExecutionFailed
    | ExecutionInterrupted
    | JobFinished
)
"""An event of a job."""

PASSING: tuple[type[JobEvent], ...] = (NodeProgress, NodePreview)
"""Events that are passed on but not kept."""


class NumberedEvent(msgspec.Struct, frozen=True, gc=False):
    """An event with its number within the job."""

    number: int
    event: Event
