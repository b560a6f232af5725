"""The channel between server and worker for code without an event loop."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from comfykernel_sdk.channel import LENGTH, encode_frame

if TYPE_CHECKING:
    import socket

    import msgspec

    from comfykernel_sdk.channel import FromWorker, ToWorker

T = TypeVar("T")


class BlockingChannel(Generic[T]):
    """One end of the channel for code without an event loop. ``send`` may be called from any thread."""

    def __init__(self, sock: socket.socket, decoder: msgspec.msgpack.Decoder[T]) -> None:
        self._socket = sock
        self._decoder = decoder
        self._lock = threading.Lock()

    def send(self, message: ToWorker | FromWorker) -> None:
        """Send a message; waits while the other side does not read.

        Raises:
            OSError: the other side is gone.
        """
        frame = encode_frame(message)
        with self._lock:
            self._socket.sendall(frame)

    def receive(self) -> T:
        """Wait for the next message.

        Raises:
            EOFError: the other side is gone.
        """
        (size,) = LENGTH.unpack(self._read(4))
        return self._decoder.decode(self._read(size))

    def close(self) -> None:
        """Close this end."""
        self._socket.close()

    def _read(self, size: int) -> bytearray:
        data = bytearray(size)
        view, done = memoryview(data), 0
        while done < size:
            try:
                count = self._socket.recv_into(view[done:])
            except ConnectionError as error:
                raise EOFError("the other side closed the channel") from error
            if not count:
                raise EOFError("the other side closed the channel")
            done += count
        return data
