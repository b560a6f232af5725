"""The queue as JSON: each job is encoded once, and the whole only when the queue has changed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from .answers import encoder
from .history_items import plain_number

if TYPE_CHECKING:
    from comfykernel_sdk.jobs import Job
    from comfykernel_sdk.transport import Kernel

ENCODED_AT_ONCE: Final = 100
"""Jobs that are encoded on the event loop; more would hold it up for milliseconds, so a thread does it."""

KEPT_BYTES: Final = 32 * 1024 * 1024
"""Encoded jobs that are kept; a longer queue is encoded anew each time it is asked for."""


def queue_item(job: Job) -> list[object]:
    """A job as an item of the queue: ``[number, prompt id, graph, extra data, output node ids]``."""
    return [plain_number(job.number), job.prompt_id, job.graph, job.extra_data, job.outputs_to_execute]


class QueueItems:
    """Keeps encoded jobs as long as they wait or run. Used on the event loop."""

    def __init__(self, kernel: Kernel, kept_bytes: int = KEPT_BYTES) -> None:
        self._kernel = kernel
        self._kept_bytes = kept_bytes
        self._kept: dict[str, tuple[Job, bytes]] = {}
        self._whole: tuple[list[Job], int, bytes] = ([], 0, b"")

    def at_once(self) -> bytes | None:
        """The queue; nothing when making it would take long."""
        running, pending = self._kernel.running(), self._kernel.pending()
        if len(self._unknown(running + pending)) > ENCODED_AT_ONCE:
            return None
        return self._joined(running, pending, self._encode(running + pending))

    async def of_user(self, user: str | None) -> bytes:
        """The queue, or one user's part of it."""
        running, pending = (
            [job for job in jobs if user in (None, job.user)]
            for jobs in (self._kernel.running(), self._kernel.pending())
        )
        jobs = running + pending
        if len(self._unknown(jobs)) > ENCODED_AT_ONCE:
            parts = await asyncio.to_thread(self._encode, jobs)
        else:
            parts = self._encode(jobs)
        return self._joined(running, pending, parts)

    def _unknown(self, jobs: list[Job]) -> list[Job]:
        kept = self._kept
        return [job for job in jobs if (known := kept.get(job.prompt_id)) is None or known[0] is not job]

    def _encode(self, jobs: list[Job]) -> list[tuple[Job, bytes]]:
        """Each job with its JSON."""
        kept, parts = self._kept, []
        for job in jobs:
            known = kept.get(job.prompt_id)
            parts.append(known if known is not None and known[0] is job else (job, encoder.encode(queue_item(job))))
        return parts

    def _joined(self, running: list[Job], pending: list[Job], parts: list[tuple[Job, bytes]]) -> bytes:
        """The whole answer; what is in it is kept, and nothing else."""
        jobs, count, whole = self._whole
        if count == len(running) and jobs == running + pending and whole:
            return whole
        texts = [text for _, text in parts]
        front, back = b",".join(texts[: len(running)]), b",".join(texts[len(running) :])
        whole = b'{"queue_running":[%b],"queue_pending":[%b]}' % (front, back)
        if len(whole) > self._kept_bytes:
            self._kept, self._whole = {}, ([], 0, b"")
        else:
            self._kept = {job.prompt_id: (job, text) for job, text in parts}
            self._whole = (running + pending, len(running), whole)
        return whole
