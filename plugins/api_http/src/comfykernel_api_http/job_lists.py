"""Pages of /jobs: which jobs, in what order, and where the page lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.events import now_ms
from comfykernel_sdk.jobs import EndedFilter, EndedKey, EndedOrder, EndedQuestion, Job, JobState

from .job_views import STATUSES

if TYPE_CHECKING:
    from comfykernel_sdk.transport import Kernel

STATES: Final = {status: state for state, status in STATUSES.items()}
LIVE: Final = frozenset({JobState.QUEUED, JobState.RUNNING})
ORDERS: Final[dict[str, EndedOrder]] = {
    "create_time": "creation",
    "created_at": "creation",
    "execution_duration": "duration",
}
"""What clients call the orders."""

MOST_JOBS: Final = 2**31 - 1
"""Largest number of jobs that can be asked for or skipped."""


class JobQuestion(msgspec.Struct, kw_only=True, frozen=True):
    """Which jobs are asked for."""

    states: frozenset[JobState]
    workflow_id: str | None
    order: EndedOrder
    newest_first: bool
    limit: int | None
    offset: int

    @classmethod
    def read(
        cls, *, status: str, workflow_id: str, sort_by: str, sort_order: str, limit: int | None, offset: int
    ) -> JobQuestion:
        """The question that the parameters of a request make; empty ones count as left out.

        Raises:
            BadInput: a status, an order or a limit is none.
        """
        words = [word.strip() for word in status.split(",") if word.strip()]
        for word in words:
            _one_of(word, STATES, "status")
        if limit is not None and limit < 1:
            raise BadInput("The parameter limit must be 1 or more.", details=str(limit), type="invalid_parameter")
        return cls(
            states=frozenset(STATES[word] for word in words) or frozenset(JobState),
            workflow_id=workflow_id or None,
            order=ORDERS[_one_of(sort_by or "create_time", ORDERS, "sort_by")],
            newest_first=_one_of(sort_order or "desc", ("asc", "desc"), "sort_order") == "desc",
            limit=None if limit is None else min(limit, MOST_JOBS),
            offset=max(min(offset, MOST_JOBS), 0),
        )


class JobPage(msgspec.Struct, kw_only=True, frozen=True):
    """A page of jobs: those that wait or run as they are, those that have ended by their keys; and of how many."""

    jobs: list[Job | EndedKey]
    total: int
    asked: EndedQuestion
    """What the kernel was asked for the keys."""


async def list_page(kernel: Kernel, question: JobQuestion, *, user: str | None) -> JobPage:
    """The page that a question asks for."""
    live: list[Job | EndedKey] = [*_live(kernel, question, user)]
    ended = tuple(sorted(question.states - LIVE))
    filter: EndedFilter = {"user": user, "states": ended, "workflow_id": question.workflow_id}
    end = None if question.limit is None else question.offset + question.limit
    # Without live jobs the store's page is the answer's; else both are merged from the start.
    start = 0 if live else question.offset
    asked: EndedQuestion = {
        **filter,
        "order": question.order,
        "newest_first": question.newest_first,
        "limit": None if end is None else end - start,
        "offset": start,
    }
    keys = await kernel.history_keys(**asked) if ended else []
    total = await kernel.count_history(**filter) if ended else 0
    # A job that has ended meanwhile is in both.
    known = {key.prompt_id for key in keys}
    live = [job for job in live if job.prompt_id not in known]
    jobs = sorted([*live, *keys], key=lambda job: _rank(job, question.order), reverse=question.newest_first)
    first = question.offset - start
    return JobPage(jobs=jobs[first : None if end is None else end - start], total=total + len(live), asked=asked)


def _live(kernel: Kernel, question: JobQuestion, user: str | None) -> list[Job]:
    return [
        job
        for job in [*kernel.running(), *kernel.pending()]
        if job.state in question.states and user in (None, job.user) and question.workflow_id in (None, job.workflow_id)
    ]


def _rank(job: Job | EndedKey, order: EndedOrder) -> tuple[int, int]:
    if order == "creation":
        return job.sequence, 0
    start = job.started_ms
    return (0 if start is None else (job.ended_ms or now_ms()) - start), job.sequence


def _one_of(word: str, allowed: dict[str, JobState] | dict[str, EndedOrder] | tuple[str, ...], name: str) -> str:
    if word not in allowed:
        raise BadInput(
            f"The parameter {name} has an unknown value.",
            details=word[:100],
            hint=f"One of {', '.join(allowed)}.",
            type="invalid_parameter",
        )
    return word
