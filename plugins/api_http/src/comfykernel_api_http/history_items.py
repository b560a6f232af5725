"""Ended jobs in the forms in which clients see them in the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfykernel_sdk.graph import Graph
    from comfykernel_sdk.jobs import Job


def plain_number(number: float) -> int | float:
    """A place in the queue as clients know it: without a fraction where it has none."""
    return int(number) if float(number).is_integer() else number


def status_of(job: Job) -> dict[str, object]:
    """How a job ended, with the messages of its run."""
    outcome = job.outcome
    done = outcome is not None and outcome.status == "done"
    messages = outcome.messages if outcome is not None else []
    return {"status_str": "success" if done else "error", "completed": done, "messages": messages}


def graph_of(job: Job) -> Graph:
    """The graph as it ran, or as it was submitted when it never did."""
    outcome = job.outcome
    return outcome.graph if outcome is not None and outcome.graph is not None else job.graph


def classic_entry(job: Job) -> dict[str, object]:
    """The entry of a history object as client libraries read it."""
    prompt = [plain_number(job.number), job.prompt_id, graph_of(job), job.extra_data, job.outputs_to_execute]
    return {"prompt": prompt, **_result(job)}


def history_item(job: Job) -> dict[str, object]:
    """A HistoryItem as the API document describes it, with everything that the classic entry tells as well."""
    return {
        "prompt_id": job.prompt_id,
        "number": plain_number(job.number),
        "prompt": graph_of(job),
        "extra_data": job.extra_data,
        "outputs_to_execute": job.outputs_to_execute,
        **_result(job),
    }


def _result(job: Job) -> dict[str, object]:
    outcome = job.outcome
    return {
        "outputs": outcome.outputs if outcome is not None else {},
        "status": status_of(job),
        "meta": outcome.meta if outcome is not None else {},
    }
