"""Ended jobs in the forms in which clients see them; encoded once, because they never change."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeAlias

from .answers import encoder

if TYPE_CHECKING:
    from comfykernel_sdk.graph import Graph
    from comfykernel_sdk.jobs import Job

ENCODED_AT_ONCE: Final = 50
"""Entries that are encoded on the event loop; more would hold it up for milliseconds."""

JOINED_AT_ONCE: Final = 1024 * 1024
"""Bytes of an answer that are put together on the event loop."""

Key: TypeAlias = tuple[str, int | None, int, bool]
"""What tells an entry apart: a prompt id may be used again once its job has ended."""

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
    """Keeps encoded entries of ended jobs. Used on the event loop; many that are not known are encoded in a thread."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept: dict[Key, bytes] = {}
        self._free = kept_bytes

    async def as_object(self, jobs: list[Job]) -> bytes:
        """Classic entries by prompt id."""
        entries = await self._entries(jobs, classic=True)
        pairs = (encoder.encode(job.prompt_id) + b":" + entry for job, entry in zip(jobs, entries, strict=True))
        return await _joined(b"{", list(pairs), b"}")

    async def as_array(self, jobs: list[Job]) -> bytes:
        """A list of HistoryItem."""
        return await _joined(b"[", await self._entries(jobs, classic=False), b"]")

    async def item(self, job: Job) -> bytes:
        """One HistoryItem."""
        return (await self._entries([job], classic=False))[0]

    async def _entries(self, jobs: list[Job], *, classic: bool) -> list[bytes]:
        unknown = [job for job in jobs if _key(job, classic=classic) not in self._kept]
        if len(unknown) > ENCODED_AT_ONCE:
            fresh = await asyncio.to_thread(_encoded, unknown, classic=classic)
        else:
            fresh = _encoded(unknown, classic=classic)
        found: list[bytes] = []
        for job in jobs:
            key = _key(job, classic=classic)
            # Taken out and put back: those not asked for longest stand first.
            entry = self._kept.pop(key, None)
            if entry is None:
                # Known when it was looked for, and forgotten for others meanwhile.
                entry = fresh[key] if key in fresh else _encoded([job], classic=classic)[key]
                self._free -= len(entry)
            self._kept[key] = entry
            found.append(entry)
        while self._free < 0 and len(self._kept) > 1:
            self._free += len(self._kept.pop(next(iter(self._kept))))
        return found


def _key(job: Job, *, classic: bool) -> Key:
    return (job.prompt_id, job.ended_ms, job.sequence, classic)


def _encoded(jobs: list[Job], *, classic: bool) -> dict[Key, bytes]:
    form = classic_entry if classic else history_item
    return {_key(job, classic=classic): encoder.encode(form(job)) for job in jobs}


async def _joined(front: bytes, parts: list[bytes], back: bytes) -> bytes:
    def join() -> bytes:
        return b"".join([front, b",".join(parts), back])

    return await asyncio.to_thread(join) if sum(map(len, parts)) > JOINED_AT_ONCE else join()
