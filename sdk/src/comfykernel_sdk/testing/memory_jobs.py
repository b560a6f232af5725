"""Jobs and their events in memory; what is closed and opened again is still there."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, Unpack

import msgspec

from ..errors import Conflict, NotFound
from ..jobs import EndedFilter, EndedKey, EndedOrder, EndedQuestion, Job, JobState, Outcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..events import NumberedEvent


class MemoryJobs:
    """A ``JobStore``."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._events: dict[str, dict[int, NumberedEvent]] = {}
        self._sequence = itertools.count(1)
        self._ends: dict[str, int] = {}
        self._end_numbers = itertools.count()

    async def add(self, job: Job) -> Job:
        """Keep a new job."""
        old = self._jobs.get(job.prompt_id)
        if old is not None and not old.state.ended:
            raise Conflict(f"Job {job.prompt_id} waits or runs.", type="duplicate_prompt_id")
        key = job.idempotency_key
        same = await self.by_idempotency_key(job.user, key) if key is not None else None
        if same is not None and same.prompt_id != job.prompt_id:
            raise Conflict(f"Job {same.prompt_id} has this idempotency key.", type="duplicate_idempotency_key")
        self._forget(job.prompt_id)
        kept = msgspec.structs.replace(job, sequence=next(self._sequence))
        self._jobs[job.prompt_id] = copy.deepcopy(kept)
        return kept

    async def get(self, prompt_id: str) -> Job | None:
        """A job in whatever state."""
        return copy.deepcopy(self._jobs.get(prompt_id))

    async def by_idempotency_key(self, user: str, key: str) -> Job | None:
        """The job that was submitted with this key."""
        found = (job for job in self._jobs.values() if (job.user, job.idempotency_key) == (user, key))
        return copy.deepcopy(next(found, None))

    async def unfinished(self) -> list[Job]:
        """Jobs that wait or run, in the order in which they will run."""
        jobs = [job for job in self._jobs.values() if not job.state.ended]
        return copy.deepcopy(sorted(jobs, key=lambda job: (job.number, job.sequence)))

    async def start(self, prompt_id: str, *, worker: str, attempts: int, started_ms: int) -> None:
        """Mark as running."""
        job = self._open(prompt_id)
        job.state, job.worker, job.attempts, job.started_ms = JobState.RUNNING, worker, attempts, started_ms

    async def requeue(self, prompt_id: str, *, attempts: int) -> None:
        """Put a running job back where it was in the queue."""
        job = self._open(prompt_id)
        job.state, job.attempts = JobState.QUEUED, attempts

    async def finish(self, prompt_id: str, outcome: Outcome, *, ended_ms: int) -> None:
        """Record the end of a job and drop its secrets."""
        job = self._open(prompt_id)
        job.state, job.outcome, job.ended_ms, job.secrets = JobState(outcome.status), outcome, ended_ms, {}
        self._ends[prompt_id] = next(self._end_numbers)

    async def remove(self, prompt_ids: list[str], *, states: tuple[JobState, ...]) -> list[str]:
        """Delete jobs that are in one of the states, with their events."""
        gone = [id for id in prompt_ids if id in self._jobs and self._jobs[id].state in states]
        for id in gone:
            self._forget(id)
        return gone

    async def remove_all(self, *, states: tuple[JobState, ...], user: str | None = None) -> int:
        """Delete all jobs in these states."""
        ids = [id for id, job in self._jobs.items() if user in (None, job.user)]
        return len(await self.remove(ids, states=states))

    async def ended(self, **question: Unpack[EndedQuestion]) -> list[Job]:
        """Jobs that have ended."""
        return copy.deepcopy(self._page(question))

    async def ended_keys(self, **question: Unpack[EndedQuestion]) -> list[EndedKey]:
        """The same without what is in them."""
        jobs = self._page(question)
        return [EndedKey(job.prompt_id, job.sequence, job.started_ms, job.ended_ms or 0) for job in jobs]

    async def count_ended(self, **filter: Unpack[EndedFilter]) -> int:
        """How many jobs of this kind are kept."""
        return len(self._ended(filter))

    def _page(self, question: EndedQuestion) -> list[Job]:
        order = question.get("order", "end")
        jobs = sorted(
            self._ended(question), key=lambda job: self._rank(job, order), reverse=question.get("newest_first", False)
        )
        return jobs[question.get("offset", 0) :][: question.get("limit")]

    def _ended(self, filter: EndedFilter) -> list[Job]:
        states = filter.get("states")
        return [
            job
            for job in self._jobs.values()
            if job.state.ended
            and filter.get("user") in (None, job.user)
            and (states is None or job.state in states)
            and filter.get("workflow_id") in (None, job.workflow_id)
        ]

    def _rank(self, job: Job, order: EndedOrder) -> tuple[int, int]:
        ended = job.ended_ms or 0
        first = {"end": ended, "creation": job.sequence, "duration": ended - (job.started_ms or ended)}[order]
        return first, self._ends[job.prompt_id] if order == "end" else job.sequence

    async def append_events(self, prompt_id: str, events: list[NumberedEvent]) -> None:
        """Keep events of a job that is known."""
        if prompt_id in self._jobs:
            self._events.setdefault(prompt_id, {}).update((each.number, each) for each in events)

    async def events(self, prompt_id: str, *, since: int = 0) -> AsyncIterator[NumberedEvent]:
        """The kept events with a number above ``since``, in order."""
        for number, event in sorted(self._events.get(prompt_id, {}).items()):
            if number > since:
                yield event

    async def last_event_number(self, prompt_id: str) -> int:
        """Highest number among the kept events of a job."""
        return max(self._events.get(prompt_id, {}), default=0)

    async def trim(self, *, keep_jobs: int) -> int:
        """Delete the oldest ended jobs beyond ``keep_jobs``."""
        old = (await self.ended(newest_first=True))[keep_jobs:]
        for job in old:
            self._forget(job.prompt_id)
        return len(old)

    async def close(self) -> None:
        """Nothing to do."""

    def _open(self, prompt_id: str) -> Job:
        job = self._jobs.get(prompt_id)
        if job is None:
            raise NotFound(f"There is no job {prompt_id}.", type="unknown_job")
        if job.state.ended:
            raise Conflict(f"Job {prompt_id} has ended.", type="job_ended")
        return job

    def _forget(self, prompt_id: str) -> None:
        self._jobs.pop(prompt_id, None)
        self._events.pop(prompt_id, None)
        self._ends.pop(prompt_id, None)
