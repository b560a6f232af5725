"""A worker process: how it is started, spoken to and ended.

A worker must never outlive the server, not even a server that was killed: it ends when its channel reaches the end,
and on Linux the system itself kills it when the thread that started it is gone. It leads a session of its own, so that
Ctrl-C in a terminal reaches only the server, and so that it can be killed together with the processes it started.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, BinaryIO, Final

from comfykernel_sdk.channel import encode_frame, read_frame, worker_decoder

from .output_lines import OutputLines

if TYPE_CHECKING:
    from collections.abc import Callable

    from comfykernel_sdk.channel import FromWorker, ToWorker
    from comfykernel_sdk.scheduler import WorkerCommand

READ_BUFFER: Final = 1024 * 1024
"""Bytes of messages that may wait unread before the worker has to wait."""
LAST_LINES_S: Final = 0.5
"""How long the last lines of a dead worker are waited for; a process that it left behind may hold its output open."""
PR_SET_PDEATHSIG: Final = 1

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_decoder = worker_decoder()


class WorkerProcess:
    """A started worker with its channel and its output. Made by :meth:`start`."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        output: OutputLines,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.pid = process.pid
        self._process = process
        self._output = output
        self._reader = reader
        self._writer = writer

    @classmethod
    async def start(cls, command: WorkerCommand, on_lines: Callable[[list[str]], None]) -> WorkerProcess:
        """Start a worker; ``on_lines`` gets what it prints.

        Raises:
            OSError: the program can't be run.
        """
        loop = asyncio.get_running_loop()
        async with contextlib.AsyncExitStack() as undo:
            ours, theirs = socket.socketpair()
            undo.callback(ours.close)
            with theirs:
                read_end, write_end = os.pipe()
                pipe = undo.enter_context(os.fdopen(read_end, "rb", buffering=0))
                with os.fdopen(write_end, "wb", buffering=0) as their_output:
                    process = await _spawn(command, theirs, their_output)
            undo.callback(_kill_group, process.pid)
            _, lines = await loop.connect_read_pipe(lambda: OutputLines(on_lines), pipe)
            undo.callback(lines.close)
            reader, writer = await asyncio.open_unix_connection(sock=ours, limit=READ_BUFFER)
            undo.pop_all()
        return cls(process, lines, reader, writer)

    def send(self, message: ToWorker) -> None:
        """Send a message; to a dead worker nothing is sent, :meth:`receive` tells of its death."""
        if not self._writer.is_closing():
            self._writer.write(encode_frame(message))

    async def receive(self) -> FromWorker:
        """Wait for the next message.

        Raises:
            EOFError: the worker is gone.
            msgspec.MsgspecError: what came is no message.
        """
        return await read_frame(self._reader, _decoder)

    async def wait(self) -> int:
        """Wait for the end of the process; returns its exit code, or minus the number of the signal that killed it."""
        return await self._process.wait()

    def terminate(self) -> None:
        """Ask the process to end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def kill(self) -> None:
        """Kill the process and those that it started."""
        _kill_group(self.pid)

    async def close(self) -> None:
        """Kill what is left, wait for the end of the process and take its last lines."""
        self.kill()
        self._writer.close()
        try:
            await self._process.wait()
            await asyncio.wait({self._output.closed}, timeout=LAST_LINES_S)
        finally:
            self._output.close()


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


async def _spawn(command: WorkerCommand, theirs: socket.socket, output: BinaryIO) -> asyncio.subprocess.Process:
    fd = theirs.fileno()
    # Lines must come while they are printed, and a crash in native code must leave a traceback among them.
    defaults = {"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
    return await asyncio.create_subprocess_exec(
        *command.argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env={**defaults, **os.environ, **command.env, command.fd_variable: str(fd)},
        pass_fds=(fd,),
        start_new_session=True,
        preexec_fn=_dies_with_parent(os.getpid()),
    )


def _dies_with_parent(parent: int) -> Callable[[], None] | None:
    libc = _libc
    if libc is None:
        return None

    def ask_for_signal() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the request was made
            os._exit(1)

    return ask_for_signal


def describe_exit(returncode: int) -> str:
    """How a process ended, for people."""
    if returncode >= 0:
        return f"ended with exit code {returncode}"
    try:
        name = signal.Signals(-returncode).name
    except ValueError:
        name = f"signal {-returncode}"
    hint = "; if nobody killed it, the system did because memory ran out" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"
