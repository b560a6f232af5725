"""Structs of the OpenAPI document alone: bodies that are read leniently, and answers that are written as bytes."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from comfykernel_sdk.json_types import Json, JsonObject

from .schemas import PromptId

File: TypeAlias = Annotated[str, Meta(extra_json_schema={"format": "binary"})]
JobStatus: TypeAlias = Literal["pending", "in_progress", "completed", "failed", "cancelled"]
Milliseconds: TypeAlias = Annotated[int | None, Meta(description="Milliseconds since 1970.")]
Seconds: TypeAlias = Annotated[float, Meta(description="Seconds since 1970.")]


class PromptRequest(msgspec.Struct, kw_only=True):
    """A workflow to run. Members that are null count as absent."""

    prompt: Annotated[JsonObject, Meta(description="The graph: nodes by id.")]
    prompt_id: Annotated[PromptId, Meta(description="Id of the caller's own choice; any text is taken.")] = ""
    number: Annotated[float, Meta(description="Place in the queue; the lowest runs first.")] = 0
    front: Annotated[bool, Meta(description="Run before all others that wait.")] = False
    extra_data: Annotated[JsonObject, Meta(description="Kept with the prompt, given to its nodes.")] = {}
    client_id: Annotated[str, Meta(description="The WebSocket client that follows the run.")] = ""
    partial_execution_targets: Annotated[list[str], Meta(description="Output nodes that shall run; else all.")] = []


class QueueItem(msgspec.Struct, array_like=True):
    """A prompt that waits or runs: place, id, graph, extra data, ids of its output nodes."""

    number: float
    prompt_id: PromptId
    prompt: JsonObject
    extra_data: JsonObject
    outputs_to_execute: list[str]


class QueueInfo(msgspec.Struct, kw_only=True):
    """The queue, in the order in which it runs."""

    queue_running: list[QueueItem]
    queue_pending: list[QueueItem]


class QueueManageRequest(msgspec.Struct, kw_only=True):
    """What to take out of the queue."""

    clear: Annotated[bool, Meta(description="Take out all that wait.")] = False
    delete: Annotated[list[PromptId], Meta(description="Take these out, if they wait.")] = []


class HistoryManageRequest(msgspec.Struct, kw_only=True):
    """What to forget of the history."""

    clear: Annotated[bool, Meta(description="Forget all.")] = False
    delete: Annotated[list[PromptId], Meta(description="Forget these.")] = []


class InterruptRequest(msgspec.Struct, kw_only=True):
    """Which prompt to interrupt; without an id what runs."""

    prompt_id: PromptId = ""


class ImageUpload(msgspec.Struct, kw_only=True):
    """The form of an upload."""

    image: Annotated[File, Meta(description="The file.")]
    overwrite: Annotated[Literal["true", "false"], Meta(description="Replace a file of this name.")] = "false"
    type: Annotated[Literal["input", "temp", "output"], Meta(description="Kind of directory.")] = "input"
    subfolder: Annotated[str, Meta(description="Folder below the directory.")] = ""


class MaskUpload(ImageUpload, kw_only=True):
    """The form of a mask."""

    original_ref: Annotated[str, Meta(description="JSON object that names the picture: filename, subfolder, type.")]


class NodeInfo(msgspec.Struct, kw_only=True):
    """What a node is."""

    input: Annotated[JsonObject, Meta(description="Inputs by group (required, optional, hidden) and name.")]
    input_order: Annotated[dict[str, list[str]], Meta(description="Names of the inputs in order, by group.")]
    output: Annotated[list[str], Meta(description="Types of the outputs.")]
    output_is_list: Annotated[list[bool], Meta(description="Whether an output is a list of values.")]
    output_name: Annotated[list[str], Meta(description="Names of the outputs.")]
    name: Annotated[str, Meta(description="The node class.")]
    display_name: str
    description: str
    python_module: Annotated[str, Meta(description="Where it comes from.")]
    category: str
    output_node: Annotated[bool, Meta(description="Whether a prompt may end in it.")]
    output_tooltips: list[str | None] = []
    deprecated: bool = False
    experimental: bool = False
    api_node: Annotated[bool, Meta(description="Whether it calls a service of others.")] = False
    search_aliases: list[str] = []


class ModelMetadata(msgspec.Struct, kw_only=True):
    """What a safetensors file tells about itself; these are the usual members, all are texts."""

    date: str = msgspec.field(name="modelspec.date", default="")
    architecture: str = msgspec.field(name="modelspec.architecture", default="")
    title: str = msgspec.field(name="modelspec.title", default="")
    description: str = msgspec.field(name="modelspec.description", default="")
    sai_model_spec: str = msgspec.field(name="modelspec.sai_model_spec", default="")
    format: str = ""
    implementation: str = msgspec.field(name="modelspec.implementation", default="")
    license: str = msgspec.field(name="modelspec.license", default="")
    author: str = msgspec.field(name="modelspec.author", default="")
    thumbnail: str = msgspec.field(name="modelspec.thumbnail", default="")


class LogEntry(msgspec.Struct, kw_only=True):
    """A line of the log."""

    t: Annotated[str, Meta(description="Time, ISO 8601.")]
    m: Annotated[str, Meta(description="Text.")]


class TerminalSize(msgspec.Struct, kw_only=True):
    """Size of the server's terminal in characters."""

    cols: int
    rows: int


class RawLogsResponse(msgspec.Struct, kw_only=True):
    """The last lines of the log."""

    entries: list[LogEntry]
    size: TerminalSize


class LogsSubscribeRequest(msgspec.Struct, kw_only=True):
    """Who wants lines of the log."""

    client_id: str = msgspec.field(name="clientId")
    enabled: bool


class JobSummary(msgspec.Struct, kw_only=True):
    """A job in any state."""

    id: PromptId
    status: JobStatus
    create_time: Milliseconds
    priority: float
    execution_start_time: Milliseconds
    execution_end_time: Milliseconds
    outputs_count: int
    previewable_outputs_count: int
    preview_output: JsonObject | None
    workflow_id: str | None
    execution_error: JsonObject | None = None


class JobDetail(JobSummary, kw_only=True):
    """A job with its outputs and what it was made from."""

    update_time: Milliseconds
    outputs: JsonObject
    workflow: JsonObject
    execution_status: JsonObject | None
    execution_meta: JsonObject


class NodeReplacement(msgspec.Struct, kw_only=True):
    """A node that stands in for one that is gone."""

    new_node_id: str
    old_node_id: str
    old_widget_ids: Annotated[list[str] | None, Meta(description="Names of the old node's widgets, in order.")]
    input_mapping: Annotated[
        list[JsonObject] | None, Meta(description="{new_id, old_id} or {new_id, set_value}; null: names are the same.")
    ]
    output_mapping: Annotated[
        list[JsonObject] | None, Meta(description="{new_idx, old_idx}; null: outputs are the same.")
    ]


class Pagination(msgspec.Struct, kw_only=True):
    """Where in a list a page lies."""

    offset: int
    limit: int
    total: int
    has_more: bool


class JobList(msgspec.Struct, kw_only=True):
    """A page of jobs."""

    jobs: list[JobSummary]
    pagination: Pagination


class JobAssets(msgspec.Struct, kw_only=True):
    """Further data on a job's files."""

    job_id: PromptId
    assets: list[JsonObject]
    pagination: Pagination


class CancelJobsRequest(msgspec.Struct, kw_only=True):
    """Jobs to cancel."""

    job_ids: list[PromptId]


class Cancelled(msgspec.Struct, kw_only=True):
    """Whether something was cancelled."""

    cancelled: bool


class NewUser(msgspec.Struct, kw_only=True):
    """A user to be made."""

    username: str


class UserFile(msgspec.Struct, kw_only=True):
    """A file of a user."""

    path: str
    size: int
    modified: Json
    created: Json


class UserEntry(msgspec.Struct, kw_only=True):
    """A file or folder of a user; a folder has neither size nor time."""

    name: str
    path: str
    type: Literal["file", "directory"]
    size: int = 0
    modified: Json = 0


class ModelFolder(msgspec.Struct, kw_only=True):
    """A model folder with its places."""

    name: str
    folders: list[str]


class ModelFile(msgspec.Struct, kw_only=True):
    """A model with the number of the place that holds it."""

    name: str
    path_index: int = msgspec.field(name="pathIndex")
    modified: Seconds
    created: Seconds
    size: int


class Nothing(msgspec.Struct, kw_only=True):
    """An empty object: done, with nothing to tell."""
