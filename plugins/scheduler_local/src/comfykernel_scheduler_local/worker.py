"""A worker process, ``python -m comfykernel_scheduler_local.worker``: an engine behind the channel to the server.

The main thread runs the engine; one thread reads the channel, so that an interrupt arrives while a node computes;
one writes to it in batches, so that events do not slow nodes down; one asks validators. When the server is gone the
process ends at once, whatever it computes.

The environment says what it is: ``COMFYKERNEL_ENGINE`` makes its engine (``module:function``, called with the
settings), ``COMFYKERNEL_SETTINGS`` has the settings as JSON, ``COMFYKERNEL_DEVICE`` the device's name and
``COMFYKERNEL_WORKER_FD`` the number of the inherited socket.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import pkgutil
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

import msgspec

from comfykernel_sdk import channel
from comfykernel_sdk.events import JobEvent, NodePreview
from comfykernel_sdk.jobs import Outcome
from comfykernel_sdk.scheduler import Assignment
from comfykernel_sdk.settings import Settings

from .blocking_channel import BlockingChannel
from .devices import unknown_device

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from comfykernel_sdk.channel import FromWorker
    from comfykernel_sdk.events import Event
    from comfykernel_sdk.scheduler import DeviceStatus, Engine

log = logging.getLogger(__name__)

ENGINE_VARIABLE: Final = "COMFYKERNEL_ENGINE"
FD_VARIABLE: Final = "COMFYKERNEL_WORKER_FD"
SETTINGS_VARIABLE: Final = "COMFYKERNEL_SETTINGS"
DEVICE_VARIABLE: Final = "COMFYKERNEL_DEVICE"
UNSENDABLE: Final = (TypeError, ValueError, OverflowError, msgspec.MsgspecError)
"""What the encoder raises about a value that can't leave the process."""

EVENTS_AT_ONCE: Final = 200
"""Events that are sent in one message. More would keep the server's other clients waiting."""
LINGER_S: Final = 0.001
"""How long the first event waits for others: quick nodes then wake the sender once for dozens of events."""

MEMORY_S: Final = 1.0
"""Seconds between two looks at the device's memory."""
MEMORY_CHANGE: Final = 16 * 2**20
"""Bytes by which it has to change to be told."""


class Sender:
    """Sends messages and events from a thread of its own, in order; what piles up meanwhile is sent together."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._waiting: SimpleQueue[FromWorker | Event] = SimpleQueue()
        threading.Thread(target=self._send_all, name="channel-sender", daemon=True).start()

    def send(self, message: FromWorker | Event) -> None:
        """Have a message or an event sent soon; never blocks."""
        self._waiting.put(message)

    def _send_all(self) -> None:
        try:
            while True:
                batch = [self._waiting.get()]
                if isinstance(batch[0], JobEvent):
                    time.sleep(LINGER_S)
                while len(batch) < EVENTS_AT_ONCE and not self._waiting.empty():
                    batch.append(self._waiting.get())
                for frame in frames(batch):
                    self._socket.sendall(frame)
        except OSError:
            end_process(0)


def frames(batch: list[FromWorker | Event]) -> Iterator[bytes]:
    """Messages as frames; events that follow each other share one, previews (which may be large) have their own."""
    events: list[Event] = []
    for message in batch:
        if isinstance(message, JobEvent):
            events.append(message)
        if events and (not isinstance(message, JobEvent) or isinstance(message, NodePreview)):
            yield from frames_of_events(events)
            events = []
        if not isinstance(message, JobEvent):
            yield encoded(message)
    if events:
        yield from frames_of_events(events)


def frames_of_events(events: list[Event]) -> Iterator[bytes]:
    """One frame; where an event holds what can't leave the process, one for each of the others."""
    try:
        yield channel.encode_frame(channel.Said(events))
    except UNSENDABLE:
        yield from (encoded(channel.Said([event])) for event in events)


def encoded(message: FromWorker) -> bytes:
    """A frame; a message that holds what can't leave the process is replaced by nothing, or by a failed outcome."""
    try:
        return channel.encode_frame(message)
    except UNSENDABLE as error:
        log.exception("%s can't be sent to the server", type(message).__name__)
        if isinstance(message, channel.Ended):
            outcome = Outcome(status="failed", reason=f"The outcome can't be sent to the server: {error}")
            return channel.encode_frame(channel.Ended(message.prompt_id, outcome))
        return b""


class Worker:
    """The process: reads commands, runs prompts, tells what happens."""

    def __init__(self, sock: socket.socket, settings: Settings, device: str) -> None:
        self._channel = BlockingChannel(sock, channel.server_decoder())
        self._sender = Sender(sock)
        self._settings = settings
        self._device = device
        self._engine: Engine | None = None
        self._memory = channel.Memory(unknown_device(device))
        self._accepted: set[str] = set()
        self._validators = ThreadPoolExecutor(1, thread_name_prefix="validators")

    async def run(self) -> None:
        """Load the nodes and serve until the process ends."""
        inbox: asyncio.Queue[Assignment | channel.Free] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._read_all, args=(loop, inbox), name="channel-reader", daemon=True).start()
        create_engine: Callable[[Settings], Engine] = pkgutil.resolve_name(os.environ[ENGINE_VARIABLE])
        engine = self._engine = create_engine(self._settings)
        gc.collect()
        gc.freeze()
        self._memory = channel.Memory(self._status(engine))
        self._sender.send(channel.Ready(engine.catalog, self._memory.device, torch_version()))
        if self._memory.device.type != "cpu":
            threading.Thread(target=self._follow_memory, args=(engine,), name="device-memory", daemon=True).start()
        while True:
            message = await inbox.get()
            if isinstance(message, Assignment):
                await self._run_prompt(engine, message)
            else:
                engine.free(unload_models=message.unload_models, free_memory=message.free_memory)
            self._memory = channel.Memory(self._status(engine), engine.cache_bytes(), engine.model_bytes())
            self._sender.send(self._memory)

    def _follow_memory(self, engine: Engine) -> None:
        """Tell how much memory the device has free, whoever takes it; on the CPU the server sees that by itself."""
        while True:
            time.sleep(MEMORY_S)
            known, now = self._memory, self._status(engine)
            if abs(now.vram_free - known.device.vram_free) >= MEMORY_CHANGE:
                self._memory = msgspec.structs.replace(known, device=now)
                self._sender.send(self._memory)

    async def _run_prompt(self, engine: Engine, assignment: Assignment) -> None:
        send = self._sender.send
        outcome = await engine.run(assignment, send)
        self._accepted.discard(assignment.prompt_id)
        send(channel.Ended(assignment.prompt_id, outcome))

    def _read_all(self, loop: asyncio.AbstractEventLoop, inbox: asyncio.Queue[Assignment | channel.Free]) -> None:
        """Take every message as it comes; the end of the channel is the end of the process."""
        try:
            while True:
                message = self._channel.receive()
                match message:
                    case channel.Interrupt():
                        self._interrupt(message.prompt_id)
                    case channel.Validate():
                        self._validators.submit(self._validate, message)
                    case channel.Shutdown():
                        break
                    case _:
                        if isinstance(message, Assignment):
                            self._accepted.add(message.prompt_id)
                        loop.call_soon_threadsafe(inbox.put_nowait, message)
        except EOFError:
            pass
        except msgspec.MsgspecError:
            log.exception("What came from the server is no message")
            end_process(1)
        end_process(0)

    def _interrupt(self, prompt_id: str) -> None:
        if self._engine is not None:
            self._engine.interrupt(prompt_id, expected=prompt_id in self._accepted)

    def _validate(self, message: channel.Validate) -> None:
        answers = self._engine.validate(message.questions) if self._engine is not None else []
        self._sender.send(channel.Validated(message.id, answers))

    def _status(self, engine: Engine) -> DeviceStatus:
        return engine.device_status() or unknown_device(self._device)


def torch_version() -> str:
    """Version of torch when a node pack has imported it."""
    return str(getattr(sys.modules.get("torch"), "__version__", ""))


def end_process(code: int) -> None:
    """End now: nodes that compute are not waited for."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main() -> None:
    """Entry point of the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = msgspec.json.decode(os.environ[SETTINGS_VARIABLE], type=Settings)
    device = os.environ.get(DEVICE_VARIABLE, "cpu")
    if device == "cpu":
        settings.execution.cpu = True
    # What nodes print is shown line by line, though it goes through a pipe.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    logging.basicConfig(level=settings.log.level.upper(), format="%(levelname)s %(name)s: %(message)s")
    fd = int(os.environ[FD_VARIABLE])
    os.set_inheritable(fd, False)
    sock = socket.socket(fileno=fd)
    sock.setblocking(True)
    try:
        asyncio.run(Worker(sock, settings, device).run())
    except Exception:
        log.exception("The worker ends")
        end_process(1)


if __name__ == "__main__":
    main()
