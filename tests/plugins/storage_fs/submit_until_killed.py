"""A server's part in the test of a kill: takes a database and submits jobs, telling each that was acknowledged."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from pathlib import Path

from comfykernel_sdk.events import JobQueued, NumberedEvent
from comfykernel_sdk.jobs import Job, Outcome
from comfykernel_storage_fs.jobs import SqliteJobStore


def say(text: str) -> None:
    """Tell the parent at once: nothing may wait in a buffer when the kill comes."""
    os.write(1, f"{text}\n".encode())


async def submit(jobs: SqliteJobStore, client: int) -> None:
    for number in itertools.count():
        id = f"{client}-{number}"
        await jobs.add(
            Job(prompt_id=id, number=number, graph={"1": {"class_type": "X", "inputs": {"text": "x" * 500}}})
        )
        say(f"added {id}")
        await jobs.append_events(id, [NumberedEvent(1, JobQueued(prompt_id=id, number=number))])
        say(f"event {id}")
        if number % 3 == 0:
            await jobs.finish(id, Outcome(status="done"), ended_ms=number)
            say(f"ended {id}")


async def main() -> None:
    jobs = await SqliteJobStore.open(Path(sys.argv[1]))
    await asyncio.gather(*(submit(jobs, client) for client in range(4)))


if __name__ == "__main__":
    asyncio.run(main())
