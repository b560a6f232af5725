"""The bus: numbers the events of each job, passes them to whoever listens, and keeps them for later."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from comfykernel_sdk.events import (
    PASSING,
    Event,
    ExecutionStarted,
    JobFinished,
    NodePreview,
    NumberedEvent,
    QueueChanged,
)
from comfykernel_sdk.transport import BusEvent

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from comfykernel_sdk.jobs import Job
    from comfykernel_sdk.storage import JobStore

log = logging.getLogger(__name__)

FLUSH_S: Final = 0.1
"""Seconds that kept events may wait in memory; what a crash can lose of a job's log (never of its state)."""


@dataclass(slots=True)
class OpenJob:
    """What the bus knows of a job that is not over: whose it is, and the number of its last event."""

    client_id: str | None
    user: str
    number: int


class BusSubscription:
    """One listener: a bounded queue. When it is full previews are dropped, then the listener is closed."""

    def __init__(self, limit: int, on_close: Callable[[BusSubscription], None]) -> None:
        self._queue: deque[BusEvent] = deque()
        self._limit = limit
        self._ready = asyncio.Event()
        self._closed = False
        self._on_close = on_close

    def offer(self, event: BusEvent) -> None:
        """Put an event into the queue, or give up on a listener that does not keep up."""
        if len(self._queue) >= self._limit:
            kept = deque(e for e in self._queue if not isinstance(e.event, NodePreview))
            if len(kept) == len(self._queue):
                log.warning("A listener left %d events unread and is closed.", self._limit)
                self.close()
                return
            self._queue = kept
        self._queue.append(event)
        if not self._ready.is_set():
            self._ready.set()

    def close(self) -> None:
        """Stop listening; events that wait are still given out."""
        if not self._closed:
            self._closed = True
            self._ready.set()
            self._on_close(self)

    async def __aiter__(self) -> AsyncIterator[BusEvent]:
        """The events in order, until the subscription is closed."""
        while True:
            while self._queue:
                yield self._queue.popleft()
            if self._closed:
                return
            self._ready.clear()
            await self._ready.wait()


class Bus:
    """Numbers, publishes and keeps events. Used on the server's event loop only."""

    def __init__(self, store: JobStore, listener: Callable[[BusEvent], object] | None = None) -> None:
        self._store = store
        self._listener = listener
        self._subscriptions: tuple[BusSubscription, ...] = ()
        self._jobs: dict[str, OpenJob] = {}
        self._unsaved: dict[str, list[NumberedEvent]] = {}
        self._flusher: asyncio.Task[None] | None = None

    def open_job(self, job: Job, *, last_number: int = 0) -> None:
        """Begin (or, after a restart, go on) numbering the events of a job."""
        self._jobs[job.prompt_id] = OpenJob(job.client_id, job.user, last_number)

    def forget(self, prompt_id: str) -> None:
        """The job will have no more events."""
        self._jobs.pop(prompt_id, None)

    def subscribe(self, limit: int) -> BusSubscription:
        """A new listener."""
        subscription = BusSubscription(limit, self._remove)
        self._subscriptions = (*self._subscriptions, subscription)
        return subscription

    def _remove(self, subscription: BusSubscription) -> None:
        self._subscriptions = tuple(each for each in self._subscriptions if each is not subscription)

    def announce_queue(self, remaining: int) -> None:
        """Pass on how many jobs wait or run."""
        self._pass_on(BusEvent(QueueChanged(queue_remaining=remaining)))

    def publish(self, event: Event, *, is_kept: bool = False) -> None:
        """Number, keep and pass on an event of an open job; ``is_kept``: it need not be written."""
        job = self._jobs.get(event.prompt_id)
        if job is None:
            log.debug("An event of job %s came after its end: %s", event.prompt_id, type(event).__name__)
            return
        job.number = number = job.number + 1
        if not is_kept and not isinstance(event, PASSING):
            self._unsaved.setdefault(event.prompt_id, []).append(NumberedEvent(number, event))
            if self._flusher is None:
                self._flusher = asyncio.create_task(self._flush_soon())
        self._pass_on(BusEvent(event, number, job.client_id, job.user))

    def _pass_on(self, event: BusEvent) -> None:
        for subscription in self._subscriptions:
            subscription.offer(event)
        if self._listener is not None:
            self._listener(event)

    async def _flush_soon(self) -> None:
        await asyncio.sleep(FLUSH_S)
        self._flusher = None
        await self.flush()

    async def flush(self, prompt_id: str | None = None) -> None:
        """Write what waits in memory (of one job, or all) to the store."""
        ids = list(self._unsaved) if prompt_id is None else [prompt_id]
        unsaved = {id: self._unsaved.pop(id, []) for id in ids}
        await asyncio.gather(*(self._store.append_events(id, e) for id, e in unsaved.items() if e))

    async def kept(self, prompt_id: str) -> list[Event]:
        """The kept events of the attempt that runs, for the account of a job that could not give its own."""
        await self.flush(prompt_id)
        events: list[Event] = []
        async for numbered in self._store.events(prompt_id):
            if isinstance(numbered.event, ExecutionStarted):
                events.clear()
            events.append(numbered.event)
        return events

    async def replay(self, prompt_id: str, *, since: int) -> AsyncGenerator[NumberedEvent, None]:
        """Kept events above a number, then those that come, until the job's last."""
        subscription = self.subscribe(10_000)
        is_open = prompt_id in self._jobs
        with contextlib.closing(subscription):
            await self.flush(prompt_id)
            async for numbered in self._store.events(prompt_id, since=since):
                since = max(since, numbered.number)
                yield numbered
                is_open = is_open and not isinstance(numbered.event, JobFinished)
            if not is_open:
                return
            async for bus_event in subscription:
                event = bus_event.event
                if isinstance(event, QueueChanged) or event.prompt_id != prompt_id or bus_event.number <= since:
                    continue
                yield NumberedEvent(bus_event.number, event)
                if isinstance(event, JobFinished):
                    return
