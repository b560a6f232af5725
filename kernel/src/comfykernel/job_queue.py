"""The queue in memory: what waits, in the order in which it will run, and what runs. The store is its memory."""

from __future__ import annotations

import asyncio
import bisect
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
        self._arrived = asyncio.Condition()
        self.running: dict[str, Job] = {}

    def __len__(self) -> int:
        return len(self._pending) + len(self.running)

    def pending(self) -> list[Job]:
        """Waiting jobs in the order in which they will run."""
        return list(self._pending)

    def find(self, prompt_id: str) -> Job | None:
        """A job that waits or runs."""
        return self.running.get(prompt_id) or next((j for j in self._pending if j.prompt_id == prompt_id), None)

    async def put(self, job: Job) -> None:
        """Let a job wait (again)."""
        self.running.pop(job.prompt_id, None)
        async with self._arrived:
            bisect.insort(self._pending, job, key=rank)
            self._arrived.notify()

    async def take(self) -> Job:
        """Wait for the next job and count it as running."""
        async with self._arrived:
            while not self._pending:
                await self._arrived.wait()
            job = self._pending.pop(0)
        self.running[job.prompt_id] = job
        return job

    def discard(self, prompt_ids: set[str]) -> list[str]:
        """Take jobs out that wait; returns the ids of those."""
        gone = [j.prompt_id for j in self._pending if j.prompt_id in prompt_ids]
        self._pending = [j for j in self._pending if j.prompt_id not in prompt_ids]
        return gone

    def end(self, prompt_id: str) -> Job | None:
        """The job runs no more."""
        return self.running.pop(prompt_id, None)
