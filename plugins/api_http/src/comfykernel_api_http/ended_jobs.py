"""Ended jobs as JSON: each is read from the store and encoded once, because it never changes.

Clients ask for the history again and again. The store tells only which jobs have ended; what is in them is fetched for
those that are not known yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from .answers import encoder
from .history_items import classic_entry, history_item
from .job_views import summary

if TYPE_CHECKING:
    from comfykernel_sdk.jobs import EndedKey, EndedQuestion, Job
    from comfykernel_sdk.transport import Kernel

FETCHED_ONE_BY_ONE: Final = 20
"""Jobs that are fetched by their ids; where more are not known the whole page is read anew, in a thread."""

KEPT_BYTES: Final = 32 * 1024 * 1024
"""Encoded jobs that are kept; beyond it those not asked for longest go first."""

Form: TypeAlias = Literal["classic", "item", "summary"]
"""An entry as client libraries read it, one as the API document describes it, a line of a list of jobs."""

Encoded: TypeAlias = dict[int, bytes]
"""Jobs in one form, by their sequence."""

_FORMS: Final[dict[Form, Callable[[Job], dict[str, object]]]] = {
    "classic": classic_entry,
    "item": history_item,
    "summary": summary,
}


class EndedJobs:
    """Keeps encoded jobs. Used on the event loop."""

    def __init__(self, kernel: Kernel, kept_bytes: int = KEPT_BYTES) -> None:
        self._kernel = kernel
        self._kept: dict[tuple[int, Form], bytes] = {}
        self._free = kept_bytes

    async def page(self, question: EndedQuestion, form: Form) -> list[tuple[str, bytes]]:
        """The jobs of a page of the history: prompt ids with JSON."""
        keys = await self._kernel.history_keys(**question)
        return await self.entries(keys, question, form)

    async def entries(self, keys: list[EndedKey], question: EndedQuestion, form: Form) -> list[tuple[str, bytes]]:
        """The jobs that have these keys, which the kernel gave as the answer to ``question``.

        One that was forgotten meanwhile is left out.
        """
        unknown = [key for key in keys if (key.sequence, form) not in self._kept]
        fresh = await self._fetched(unknown, question, form) if unknown else {}
        found: list[tuple[str, bytes]] = []
        for key in keys:
            # Taken out and put back: those not asked for longest stand first.
            entry = self._kept.pop((key.sequence, form), None)
            if entry is None:
                entry = fresh.get(key.sequence)
                if entry is None:
                    continue
                self._free -= len(entry)
            self._kept[key.sequence, form] = entry
            found.append((key.prompt_id, entry))
        while self._free < 0 and len(self._kept) > 1:
            self._free += len(self._kept.pop(next(iter(self._kept))))
        return found

    async def entry(self, job: Job, form: Form) -> bytes:
        """One job that is at hand."""
        known = self._kept.get((job.sequence, form))
        return encoder.encode(_FORMS[form](job)) if known is None else known

    async def _fetched(self, unknown: list[EndedKey], question: EndedQuestion, form: Form) -> Encoded:
        wanted = {key.sequence for key in unknown}
        if len(unknown) > FETCHED_ONE_BY_ONE:
            return await asyncio.to_thread(_encoded, await self._kernel.history(**question), wanted, form)
        jobs = [await self._kernel.job(key.prompt_id) for key in unknown]
        return _encoded([job for job in jobs if job is not None and job.state.ended], wanted, form)


def _encoded(jobs: list[Job], wanted: set[int], form: Form) -> Encoded:
    """Those of some jobs that are wanted. Takes them out of the list: letting go of all at once would take long."""
    found: Encoded = {}
    while jobs:
        job = jobs.pop()
        if job.sequence in wanted:
            found[job.sequence] = encoder.encode(_FORMS[form](job))
    return found
