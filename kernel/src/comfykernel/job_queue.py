"""The queue in memory: what waits, in the order in which it will run, and what runs. The store is its memory."""

from __future__ import annotations

import asyncio
import bisect
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfykernel_sdk.jobs import Job


def rank(job: Job) -> tuple[float, str]:
    """Place in the queue: lower numbers first, equal ones by prompt_id, as the ComfyUI API has it."""
    return (job.number, job.prompt_id)


class JobQueue:
    """Waiting jobs sorted by rank, running jobs by id, and whoever waits for work."""

    def __init__(self) -> None:
        self._pending: list[Job] = []
        self._waiting: dict[str, Job] = {}
        self._takers: deque[asyncio.Future[None]] = deque()
        self.running: dict[str, Job] = {}
        self.begun: set[str] = set()
        """Of those that run the ones whose worker has said that it begins."""

    def __len__(self) -> int:
        return len(self._pending) + len(self.running)

    def pending(self) -> list[Job]:
        """Waiting jobs in the order in which they will run."""
        return list(self._pending)

    def find(self, prompt_id: str) -> Job | None:
        """A job that waits or runs."""
        return self.running.get(prompt_id) or self._waiting.get(prompt_id)

    def put(self, job: Job) -> None:
        """Let a job wait (again)."""
        self.end(job.prompt_id)
        self._waiting[job.prompt_id] = job
        bisect.insort(self._pending, job, key=rank)
        self._wake_taker()

    async def take(self) -> Job:
        """Wait for the next job and count it as running."""
        while not self._pending:
            taker = asyncio.get_running_loop().create_future()
            self._takers.append(taker)
            try:
                await taker
            except asyncio.CancelledError:
                # Woken and cancelled at once: the job must not be left to nobody.
                if taker in self._takers:
                    self._takers.remove(taker)
                elif self._pending:
                    self._wake_taker()
                raise
        job = self._pending.pop(0)
        del self._waiting[job.prompt_id]
        self.running[job.prompt_id] = job
        return job

    def discard(self, prompt_ids: set[str]) -> list[str]:
        """Take jobs out that wait; returns the ids of those."""
        gone = [j.prompt_id for j in self._pending if j.prompt_id in prompt_ids]
        self._pending = [j for j in self._pending if j.prompt_id not in prompt_ids]
        for id in gone:
            del self._waiting[id]
        return gone

    def end(self, prompt_id: str) -> Job | None:
        """The job runs no more."""
        self.begun.discard(prompt_id)
        return self.running.pop(prompt_id, None)

    def _wake_taker(self) -> None:
        while self._takers:
            taker = self._takers.popleft()
            if not taker.done():
                taker.set_result(None)
                return
