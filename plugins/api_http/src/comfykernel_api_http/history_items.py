"""Ended jobs in the forms in which clients see them; encoded once, because they never change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from .answers import encoder

if TYPE_CHECKING:
    from comfykernel_sdk.graph import Graph
    from comfykernel_sdk.jobs import Job

KEPT_BYTES: Final = 16 * 1024 * 1024
"""Encoded entries that are kept; beyond it those not asked for longest go first."""


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


class HistoryItems:
    """Keeps encoded entries of ended jobs."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept: dict[tuple[str, int | None, int, bool], bytes] = {}
        self._free = kept_bytes

    def encoded(self, job: Job, *, classic: bool) -> bytes:
        """One entry as JSON."""
        key = (job.prompt_id, job.ended_ms, job.sequence, classic)
        known = self._kept.pop(key, None)
        if known is None:
            known = encoder.encode(classic_entry(job) if classic else history_item(job))
            self._free -= len(known)
        self._kept[key] = known
        while self._free < 0 and len(self._kept) > 1:
            self._free += len(self._kept.pop(next(iter(self._kept))))
        return known

    def as_object(self, jobs: list[Job]) -> bytes:
        """Classic entries by prompt id."""
        parts = [encoder.encode(job.prompt_id) + b":" + self.encoded(job, classic=True) for job in jobs]
        return b"{" + b",".join(parts) + b"}"

    def as_array(self, jobs: list[Job]) -> bytes:
        """A list of HistoryItem."""
        return encoder.encode([msgspec.Raw(self.encoded(job, classic=False)) for job in jobs])
