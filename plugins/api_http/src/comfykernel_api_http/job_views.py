"""Jobs as the web page of today lists them: one form for all states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from comfykernel_sdk.jobs import JobState

from .history_items import graph_of, plain_number, status_of

if TYPE_CHECKING:
    from comfykernel_sdk.jobs import Job
    from comfykernel_sdk.json_types import Json, JsonObject

STATUSES: Final = {
    JobState.QUEUED: "pending",
    JobState.RUNNING: "in_progress",
    JobState.DONE: "completed",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}

NO_OUTPUT: Final = frozenset({"animated"})
"""Members of a node's output that are flags."""


def summary(job: Job) -> dict[str, object]:
    """A job in a list. Times in milliseconds since 1970."""
    outputs = [] if job.outcome is None else shown_outputs(job.outcome.outputs)
    view: dict[str, object] = {
        "id": job.prompt_id,
        "status": STATUSES[job.state],
        "create_time": job.created_ms,
        "priority": plain_number(job.number),
        "execution_start_time": job.started_ms,
        "execution_end_time": job.ended_ms,
        "outputs_count": len(outputs),
        "previewable_outputs_count": sum(1 for output in outputs if "filename" in output),
        "preview_output": _preview(outputs),
        "workflow_id": job.workflow_id,
    }
    error = _error(job)
    if error is not None:
        view["execution_error"] = error
    return view


def detail(job: Job) -> dict[str, object]:
    """A job by itself: the summary, its outputs and what it was made from."""
    outcome = job.outcome
    return {
        **summary(job),
        "update_time": job.ended_ms or job.started_ms or job.created_ms,
        "outputs": {} if outcome is None else outcome.outputs,
        "workflow": {"prompt": graph_of(job), "extra_data": job.extra_data},
        "execution_status": None if outcome is None else status_of(job),
        "execution_meta": {} if outcome is None else outcome.meta,
    }


def shown_outputs(outputs: dict[str, JsonObject]) -> list[JsonObject]:
    """Everything that nodes have shown, one entry a file or text."""
    found: list[JsonObject] = []
    for node_id, output in outputs.items():
        for kind, items in output.items():
            if kind in NO_OUTPUT or not isinstance(items, list):
                continue
            for item in items:
                base: JsonObject = {"nodeId": node_id, "mediaType": kind}
                if isinstance(item, dict) and "filename" in item:
                    found.append({**base, **item})
                elif isinstance(item, str):
                    found.append({**base, "content": item})
    return found


def _preview(outputs: list[JsonObject]) -> JsonObject | None:
    """The output that stands for the job: saved files before temporary ones, files before texts."""

    def rank(output: JsonObject) -> int:
        return 2 if "filename" not in output else 0 if output.get("type") == "output" else 1

    return min(outputs, key=rank, default=None)


def _error(job: Job) -> Json:
    if job.outcome is None:
        return None
    return next((data for type, data in reversed(job.outcome.messages) if type == "execution_error"), None)
