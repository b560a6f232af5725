"""The clients: open WebSockets that take previews; run as a process of its own.

``socket_load.py PORT SOCKETS PREVIEWS`` prints ``ready`` when all are open and, after each has got so many binary
messages, the number of messages that came and the longest time in milliseconds between two on one socket.
"""

from __future__ import annotations

import asyncio
import sys
import time

from websockets.asyncio.client import ClientConnection, connect

SILENCE_S = 20.0
"""After so long without a message the rest is taken for lost."""


async def take(socket: ClientConnection, previews: int) -> tuple[int, float]:
    """How many binary messages came, and the longest time between two."""
    count, longest, last = 0, 0.0, 0.0
    try:
        while count < previews:
            if isinstance(await asyncio.wait_for(socket.recv(), SILENCE_S), bytes):
                now = time.perf_counter()
                longest = max(longest, now - last if count else 0.0)
                count, last = count + 1, now
    except TimeoutError:
        pass
    return count, longest


async def main() -> None:
    port, sockets, previews = map(int, sys.argv[1:])
    url = f"ws://127.0.0.1:{port}/ws?clientId="
    opened = [await connect(f"{url}{number}", max_size=None, compression=None) for number in range(sockets)]
    print("ready", flush=True)
    taken = await asyncio.gather(*(take(socket, previews) for socket in opened))
    print(sum(count for count, _ in taken), max(longest for _, longest in taken) * 1000, flush=True)
    await asyncio.gather(*(socket.close() for socket in opened))


if __name__ == "__main__":
    asyncio.run(main())
