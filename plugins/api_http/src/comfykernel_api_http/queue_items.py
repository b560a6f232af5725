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

SENT_AT_ONCE: Final = 64 * 1024
"""Bytes of an answer that are handed to the system in one piece."""

KEPT_BYTES: Final = 32 * 1024 * 1024
"""Encoded jobs that are kept; a longer queue is encoded anew each time it is asked for."""


def queue_item(job: Job) -> list[object]:
    """A job as an item of the queue: ``[number, prompt id, graph, extra data, output node ids]``."""
    return [plain_number(job.number), job.prompt_id, job.graph, job.extra_data, job.outputs_to_execute]


class QueueItems:
    """Keeps encoded jobs as long as they wait or run, and the answer as long as the queue is the same."""

    def __init__(self, kernel: Kernel, kept_bytes: int = KEPT_BYTES) -> None:
        self._kernel = kernel
        self._kept_bytes = kept_bytes
        self._kept: dict[str, tuple[Job, bytes]] = {}
        self._whole: tuple[list[Job], int, bytes] = ([], 0, b"")

    def at_once(self) -> bytes | None:
        """The queue; nothing when making or sending it would take long."""
        running, pending = self._kernel.running(), self._kernel.pending()
        whole = self._known(running, pending)
        if whole is None:
            if len(running) + len(pending) > ENCODED_AT_ONCE:
                return None
            whole = self._keep(running, pending, b"".join(self._parts(running, pending)))
        return whole if len(whole) <= SENT_AT_ONCE else None

    async def of_user(self, user: str | None) -> bytes:
        """The queue, or one user's part of it."""
        running, pending = (
            [job for job in jobs if user in (None, job.user)]
            for jobs in (self._kernel.running(), self._kernel.pending())
        )
        if user is None and (known := self._known(running, pending)) is not None:
            return known
        if len(running) + len(pending) > ENCODED_AT_ONCE:
            whole = await asyncio.to_thread(lambda: b"".join(self._parts(running, pending)))
        else:
            whole = b"".join(self._parts(running, pending))
        return self._keep(running, pending, whole) if user is None else whole

    def _known(self, running: list[Job], pending: list[Job]) -> bytes | None:
        """The whole answer, when the queue has not changed since it was made."""
        jobs, count, whole = self._whole
        return whole if whole and count == len(running) and jobs == running + pending else None

    def _parts(self, running: list[Job], pending: list[Job]) -> list[bytes]:
        """The pieces of the answer; each job is encoded once. May be called in a thread."""
        parts = [b'{"queue_running":[']
        for jobs, after in ((running, b'],"queue_pending":['), (pending, b"]}")):
            for number, job in enumerate(jobs):
                if number:
                    parts.append(b",")
                known = self._kept.get(job.prompt_id)
                if known is None or known[0] is not job:
                    known = self._kept[job.prompt_id] = (job, encoder.encode(queue_item(job)))
                parts.append(known[1])
            parts.append(after)
        return parts

    def _keep(self, running: list[Job], pending: list[Job], whole: bytes) -> bytes:
        """Keep the whole answer with what is in it, and nothing else."""
        if len(whole) > self._kept_bytes:
            self._kept, self._whole = {}, ([], 0, b"")
            return whole
        jobs = running + pending
        if len(self._kept) > len(jobs):
            kept = self._kept
            self._kept = {job.prompt_id: kept[job.prompt_id] for job in jobs if job.prompt_id in kept}
        self._whole = (jobs, len(running), whole)
        return whole
