"""Tells WebSocket clients what happens: one listener on the kernel's bus for all connections.

Messages of a prompt go to the client that asked for it. Of a prompt without a client, progress, previews and an
interruption go to everybody, the rest to nobody. Queue changes go to everybody. Each message is encoded once, and
only when somebody gets it. Where callers are bound to users, nobody is told of another user's prompts.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from comfykernel_sdk import events as ev

from ..file_owners import shown_files
from ..outbox import Frame
from . import messages
from .connection import Connection
from .progress import RunningPrompt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from comfykernel_sdk.transport import BusEvent, Kernel

    from ..file_owners import FileOwners
    from ..outbox import Kind

log = logging.getLogger(__name__)

EVENTS_PER_TURN: Final = 400
"""Events handled before other tasks of the loop get their turn: more than a worker says in its turn."""

LAST: Final = (ev.ExecutionSucceeded, ev.ExecutionFailed, ev.ExecutionInterrupted, ev.JobFinished)
"""Events before which clients must know the state of all nodes."""

ANSWER_WAIT_S: Final = 1.0
"""Longest time that events of a prompt wait for the answer to its POST to be written."""


class Hub:
    """All connections of the transport."""

    def __init__(self, kernel: Kernel, owners: FileOwners, *, users_are_bound: Callable[[], bool]) -> None:
        self._kernel = kernel
        self._owners = owners
        self._writing: asyncio.Task[None] | None = None
        self._users_are_bound = users_are_bound
        self._clients: dict[str, Connection] = {}
        self._prompts: dict[str, RunningPrompt] = {}
        self._answering: dict[str, asyncio.Future[None] | None] = {}
        self._steps: dict[str, tuple[Connection, Frame]] = {}

    # -- connections ----------------------------------------------------------------------------

    def find(self, sid: str) -> Connection | None:
        """The connection that gets the messages of this client."""
        return self._clients.get(sid)

    def add(self, connection: Connection) -> None:
        """Greet a new connection; from now on it gets its client's messages, whoever had them before."""
        self._clients[connection.sid] = connection
        connection.put(messages.status(self._kernel.queue_remaining(), connection.sid))
        for prompt in self._prompts.values():
            if prompt.node is not None and connection in self._client(prompt.client_id, prompt.user):
                connection.put(messages.text("executing", {"node": prompt.node}))

    def remove(self, connection: Connection) -> None:
        """Forget a connection, unless a newer one has taken its place."""
        if self._clients.get(connection.sid) is connection:
            del self._clients[connection.sid]

    def announce_queue(self) -> None:
        """Tell everybody how many prompts wait or run."""
        self._put(messages.status(self._kernel.queue_remaining()), self._clients.values())

    def send(self, event: str, data: object, client_id: str | None) -> None:
        """A message that belongs to no prompt, to one client or to all."""
        targets = self._clients.values() if client_id is None else [c for c in (self.find(client_id),) if c is not None]
        if targets:
            self._put(messages.text(event, data), targets)

    def send_logs(self, data: object) -> None:
        """Lines of the log for those who asked for them."""
        targets = [connection for connection in self._clients.values() if connection.wants_logs]
        if targets:
            self._put(messages.text("logs", data), targets)

    # -- answers that are being written ----------------------------------------------------------

    def begin_answer(self, prompt_id: str) -> None:
        """Hold back what happens to this prompt: clients must read the answer to their POST first."""
        self._answering[prompt_id] = None

    def end_answer(self, prompt_id: str) -> None:
        """The answer was written (or there will be none)."""
        waiting = self._answering.pop(prompt_id, None)
        if waiting is not None:
            _release(waiting)

    # -- events ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Listen to the kernel until cancelled."""
        while True:
            subscription = self._kernel.subscribe()
            try:
                handled = 0
                async for event in subscription:
                    await self._wait_for_answer(event)
                    self.handle(event)
                    handled += max(1, len(self._clients))
                    if handled >= EVENTS_PER_TURN:
                        handled = 0
                        await asyncio.sleep(0)
            finally:
                subscription.close()
            log.warning("The WebSocket hub fell behind; clients missed messages.")
            running = {job.prompt_id for job in self._kernel.running()}
            self._prompts = {id: prompt for id, prompt in self._prompts.items() if id in running}
            await asyncio.sleep(0.1)

    async def _wait_for_answer(self, bus_event: BusEvent) -> None:
        event = bus_event.event
        if not self._clients or not self._answering or isinstance(event, ev.QueueChanged):
            return
        if event.prompt_id in self._answering:
            loop = asyncio.get_running_loop()
            waiting = self._answering[event.prompt_id] = loop.create_future()
            timer = loop.call_later(ANSWER_WAIT_S, _release, waiting)
            await waiting
            timer.cancel()

    def handle(self, bus_event: BusEvent) -> None:
        """Pass on one event."""
        event = bus_event.event
        if isinstance(event, ev.QueueChanged):
            self._put(messages.status(event.queue_remaining), self._clients.values())
            return
        if self._steps and not isinstance(event, ev.NodePreview):
            self._send_step(event.prompt_id)
        if isinstance(event, ev.NodeOutput) and self._users_are_bound():
            self._note_owner(event, bus_event.user)
        prompt = self._follow(event, bus_event)
        if prompt is not None and prompt.late is not None and isinstance(event, LAST):
            self._tell_late(event.prompt_id, prompt)
        client, user = bus_event.client_id, bus_event.user
        match event:
            case ev.NodeProgress():
                self._progress(event, prompt, bus_event)
            case ev.NodePreview():
                self._preview(event, bus_event)
            case ev.NodeText():
                targets = self._all(user) if event.broadcast else self._client(client, user)
                plain = [target for target in targets if not target.wants_text_metadata]
                self._put(messages.node_text(event), plain)
                self._put(messages.node_text(event, with_prompt=True), [t for t in targets if t not in plain])
            case ev.NodeMessage():
                self._put(messages.text(event.event, event.data), self._client_or_all(event.client_id, user))
            case ev.ExecutionInterrupted():
                self._put(messages.execution_interrupted(event), self._client_or_all(client, user))
            case ev.JobFinished() if prompt is None:
                pass
            case _:
                targets = self._client(client, user)
                if targets and (frame := _frame_of(event)) is not None:
                    self._put(frame, targets)

    def _note_owner(self, event: ev.NodeOutput, user: str) -> None:
        """What a job shows is its user's."""
        files = shown_files(event.output)
        self._owners.note(files, user)
        if files and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(asyncio.to_thread(self._owners.write))

    def _follow(self, event: ev.Event, bus_event: BusEvent) -> RunningPrompt | None:
        """Keep track of the prompts that run; returns the one that the event belongs to."""
        match event:
            case ev.ExecutionStarted():
                self._prompts[event.prompt_id] = _prompt_of(event, bus_event)
            case ev.JobFinished():
                return self._prompts.pop(event.prompt_id, None)
            case ev.NodeStarted() if event.prompt_id in self._prompts:
                self._prompts[event.prompt_id].node = event.place.node_id
        return self._prompts.get(event.prompt_id)

    def _progress(self, event: ev.NodeProgress, prompt: RunningPrompt | None, bus_event: BusEvent) -> None:
        if prompt is None:
            prompt = self._prompts[event.prompt_id] = _prompt_of(event, bus_event)
        prompt.update(event)
        targets = self._client_or_all(bus_event.client_id, bus_event.user)
        if not targets:
            return
        self._tell_state(event.prompt_id, prompt)
        if event.announce != "progress":
            return
        frame = Frame(messages.progress(event))
        for target in targets:
            if event.has_preview and bus_event.client_id is not None and target.wants_preview_metadata:
                # Previews with metadata go before the step that they belong to.
                self._steps[event.prompt_id] = (target, frame)
            else:
                target.put_frame(frame)

    def _tell_state(self, prompt_id: str, prompt: RunningPrompt) -> None:
        """Tell the state of all nodes now, or with changes to come."""
        loop = asyncio.get_running_loop()
        if prompt.late is not None:
            return
        if wait_s := prompt.wait_s(loop.time()):
            prompt.late = loop.call_later(wait_s, self._tell_late, prompt_id, prompt)
        else:
            self._put_state(prompt_id, prompt)

    def _tell_late(self, prompt_id: str, prompt: RunningPrompt) -> None:
        """Tell a state that was held back."""
        if prompt.late is not None:
            prompt.late.cancel()
            prompt.late = None
            self._put_state(prompt_id, prompt)

    def _put_state(self, prompt_id: str, prompt: RunningPrompt) -> None:
        targets = self._client_or_all(prompt.client_id, prompt.user)
        if targets:
            self._put(prompt.progress_state(), targets, kind="state", key=prompt_id)

    def _send_step(self, prompt_id: str) -> None:
        held = self._steps.pop(prompt_id, None)
        if held is not None:
            connection, frame = held
            connection.put_frame(frame)

    def _preview(self, event: ev.NodePreview, bus_event: BusEvent) -> None:
        targets = self._client_or_all(bus_event.client_id, bus_event.user)
        if targets and bus_event.client_id is not None and targets[0].wants_preview_metadata:
            self._put(messages.preview_with_metadata(event), targets, kind="preview")
        elif targets:
            self._put(messages.preview(event), targets, kind="preview")
        self._send_step(event.prompt_id)

    def _client(self, client_id: str | None, user: str) -> list[Connection]:
        connection = None if client_id is None else self._clients.get(client_id)
        if connection is None or (connection.user != user and self._users_are_bound()):
            return []
        return [connection]

    def _all(self, user: str) -> list[Connection]:
        bound = self._users_are_bound()
        return [connection for connection in self._clients.values() if not bound or connection.user == user]

    def _client_or_all(self, client_id: str | None, user: str) -> list[Connection]:
        return self._all(user) if client_id is None else self._client(client_id, user)

    @staticmethod
    def _put(data: str | bytes, targets: Iterable[Connection], *, kind: Kind = "message", key: str = "") -> None:
        frame = Frame(data, kind, key)
        for target in list(targets):
            target.put_frame(frame)


def _prompt_of(event: ev.JobEvent, bus_event: BusEvent) -> RunningPrompt:
    return RunningPrompt(event.prompt_id, bus_event.client_id, bus_event.user)


def _release(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


def _frame_of(event: ev.Event) -> str | None:
    """The message of an event that only the client of its prompt is told."""
    match event:
        case ev.NodeStarted():
            return messages.executing(event)
        case ev.NodeOutput():
            return messages.executed(event)
        case ev.ExecutionStarted():
            return messages.text("execution_start", {"prompt_id": event.prompt_id, "timestamp": event.timestamp})
        case ev.ExecutionCached():
            data = {"nodes": event.nodes, "prompt_id": event.prompt_id, "timestamp": event.timestamp}
            return messages.text("execution_cached", data)
        case ev.ExecutionSucceeded():
            return messages.text("execution_success", {"prompt_id": event.prompt_id, "timestamp": event.timestamp})
        case ev.ExecutionFailed():
            return messages.execution_failed(event)
        case ev.JobFinished():
            return messages.text("executing", {"node": None, "prompt_id": event.prompt_id})
    return None
