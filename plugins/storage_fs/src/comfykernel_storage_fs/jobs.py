"""The job store: durable jobs and their events in SQLite."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, Unpack

from comfykernel_sdk.errors import Conflict, NotFound
from comfykernel_sdk.jobs import EndedKey, JobState

from . import job_rows
from .database import lock_database, open_for_writing
from .group_commit import GroupCommit
from .readers import Readers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import filelock

    from comfykernel_sdk.events import NumberedEvent
    from comfykernel_sdk.jobs import EndedFilter, EndedOrder, EndedQuestion, Job, Outcome

# Events that a replay reads at a time.
PAGE: Final = 500
# Events that one statement writes: between two statements the thread has to wait for the interpreter's lock.
ROWS: Final = 200

# Columns by which ended jobs are sorted.
_ORDERS: Final[dict[EndedOrder, tuple[str, ...]]] = {
    "end": ("ended_ms", "end_rank"),
    "creation": ("sequence",),
    "duration": ("ended_ms - coalesce(started_ms, ended_ms)", "sequence"),
}


class SqliteJobStore:
    """Jobs in one SQLite file: one writing thread, a few reading ones. See ``JobStore`` of the sdk for the methods.

    Make one with :meth:`open`.
    """

    def __init__(self, lock: filelock.BaseFileLock, writer: GroupCommit, readers: Readers) -> None:
        self._lock = lock
        self._writer = writer
        self._readers = readers

    @classmethod
    async def open(cls, path: Path, *, synchronous: Literal["full", "normal"] = "full") -> SqliteJobStore:
        """Open or create the database and take it for this process.

        Raises:
            PluginError: another server has it, it can't be opened, or a newer version has written it.
        """
        return await asyncio.to_thread(cls._open, path, synchronous)

    @classmethod
    def _open(cls, path: Path, synchronous: Literal["full", "normal"]) -> SqliteJobStore:
        with contextlib.ExitStack() as stack:
            lock = lock_database(path)
            stack.callback(lock.release)
            connection = open_for_writing(path, synchronous=synchronous)
            stack.callback(connection.close)
            readers = Readers(path)
            stack.pop_all()
            return cls(lock, GroupCommit(connection), readers)

    async def add(self, job: Job) -> Job:
        """Keep a new job and set its ``sequence``; one of the same id that has ended is replaced."""
        values = job_rows.values_of(job)
        job.sequence = await self._writer.run(lambda connection: _add(connection, job, values), savepoint=False)
        return job

    async def get(self, prompt_id: str) -> Job | None:
        """A job in whatever state."""
        return await self._one("WHERE prompt_id = ?", prompt_id)

    async def by_idempotency_key(self, user: str, key: str) -> Job | None:
        """The job that was submitted with this key."""
        return await self._one("WHERE user = ? AND idempotency_key = ?", user, key)

    async def unfinished(self) -> list[Job]:
        """Jobs that wait or run, by number, then by the order of acceptance."""
        return await self._many("WHERE ended_ms IS NULL ORDER BY number, sequence")

    async def start(self, prompt_id: str, *, worker: str, attempts: int, started_ms: int) -> None:
        """Mark as running."""
        await self._change_unfinished(
            prompt_id,
            "state = ?, worker = ?, attempts = ?, started_ms = ?",
            (JobState.RUNNING.value, worker, attempts, started_ms),
            hurry=False,
        )

    async def requeue(self, prompt_id: str, *, attempts: int) -> None:
        """Put a running job back: number and sequence are kept."""
        await self._change_unfinished(
            prompt_id,
            "state = ?, worker = '', attempts = ?, started_ms = NULL",
            (JobState.QUEUED.value, attempts),
        )

    async def finish(self, prompt_id: str, outcome: Outcome, *, ended_ms: int) -> None:
        """Record the end of a job and drop its secrets."""
        await self._change_unfinished(
            prompt_id,
            "state = ?, outcome = ?, ended_ms = ?, secrets = NULL,"
            " end_rank = (SELECT coalesce(max(end_rank), 0) + 1 FROM jobs WHERE end_rank IS NOT NULL)",
            (outcome.status, job_rows.encode(outcome), ended_ms),
        )

    async def remove(self, prompt_ids: list[str], *, states: tuple[JobState, ...]) -> list[str]:
        """Delete jobs that are in one of the states, with their events; returns the ids that were deleted."""
        where, values = _in_states(states)

        def delete(connection: sqlite3.Connection) -> list[str]:
            statement = f"DELETE FROM jobs WHERE prompt_id = ? AND {where}"
            return [id for id in prompt_ids if connection.execute(statement, (id, *values)).rowcount]

        return await self._writer.run(delete)

    async def remove_all(self, *, states: tuple[JobState, ...], user: str | None = None) -> int:
        """Delete all jobs in these states (of one user); returns how many."""
        where, values = _in_states(states)
        statement, values = _of_user(f"DELETE FROM jobs WHERE {where}", values, user)
        return await self._writer.run(lambda connection: connection.execute(statement, values).rowcount)

    async def ended(self, **question: Unpack[EndedQuestion]) -> list[Job]:
        """Jobs that have ended, in the order and of the kind that is asked for."""
        rest, values = _page(question)
        return await self._many(rest, *values)

    async def ended_keys(self, **question: Unpack[EndedQuestion]) -> list[EndedKey]:
        """The same without what is in them."""
        rest, values = _page(question)
        statement = f"SELECT prompt_id, sequence, started_ms, ended_ms FROM jobs {rest}"
        return await self._readers.run(
            lambda connection: [EndedKey(*row) for row in connection.execute(statement, values)]
        )

    async def count_ended(self, **filter: Unpack[EndedFilter]) -> int:
        """How many jobs of this kind are kept."""
        where, values = _ended(filter)
        return await self._count(f"SELECT count(*) FROM jobs {where}", *values)

    async def append_events(self, prompt_id: str, events: list[NumberedEvent]) -> None:
        """Keep events; numbers that are there already are replaced, events of an unknown job dropped."""
        rows = [(each.number, job_rows.encode(each.event)) for each in events]
        if rows:
            await self._writer.run(lambda connection: _append(connection, prompt_id, rows), savepoint=False)

    async def events(self, prompt_id: str, *, since: int = 0) -> AsyncIterator[NumberedEvent]:
        """The kept events with a number above ``since``, in order."""
        while page := await self._readers.run(partial(_events, prompt_id, since)):
            for event in page:
                yield event
            since = page[-1].number

    async def last_event_number(self, prompt_id: str) -> int:
        """Highest number among the kept events of a job, 0 without any."""
        statement = "SELECT coalesce(max(events.number), 0) FROM events JOIN jobs ON job = sequence WHERE prompt_id = ?"
        return await self._count(statement, prompt_id)

    async def trim(self, *, keep_jobs: int) -> int:
        """Delete the oldest ended jobs beyond ``keep_jobs`` with their events; returns how many."""
        statement = (
            "DELETE FROM jobs WHERE sequence IN (SELECT sequence FROM jobs WHERE ended_ms IS NOT NULL"
            " ORDER BY ended_ms DESC, end_rank DESC LIMIT -1 OFFSET ?)"
        )
        return await self._writer.run(lambda connection: connection.execute(statement, (max(keep_jobs, 0),)).rowcount)

    async def close(self) -> None:
        """Finish what is being written and let go of the files."""
        await self._readers.close()
        await self._writer.close()
        self._lock.release()

    async def _one(self, rest: str, *values: object) -> Job | None:
        jobs = await self._many(rest, *values)
        return jobs[0] if jobs else None

    async def _many(self, rest: str, *values: object) -> list[Job]:
        statement = f"{job_rows.SELECT_JOB} {rest}"
        return await self._readers.run(
            lambda connection: [job_rows.job_of(row) for row in connection.execute(statement, values)]
        )

    async def _count(self, statement: str, *values: object) -> int:
        return await self._readers.run(lambda connection: int(connection.execute(statement, values).fetchone()[0]))

    async def _change_unfinished(
        self, prompt_id: str, assignments: str, values: tuple[object, ...], *, hurry: bool = True
    ) -> None:
        statement = f"UPDATE jobs SET {assignments} WHERE prompt_id = ? AND ended_ms IS NULL"

        def change(connection: sqlite3.Connection) -> None:
            if connection.execute(statement, (*values, prompt_id)).rowcount:
                return
            if _state(connection, prompt_id) is None:
                raise NotFound(f"There is no job {prompt_id}.", type="unknown_job")
            raise Conflict(f"Job {prompt_id} has ended already.", type="job_ended")

        await self._writer.run(change, savepoint=False, hurry=hurry)


def _add(connection: sqlite3.Connection, job: Job, values: tuple[object, ...]) -> int:
    try:
        return int(connection.execute(job_rows.INSERT_JOB, values).lastrowid or 0)
    except sqlite3.IntegrityError:
        return _replace_ended(connection, job, values)


def _replace_ended(connection: sqlite3.Connection, job: Job, values: tuple[object, ...]) -> int:
    """Add a job though its id or its idempotency key is known."""
    state = _state(connection, job.prompt_id)
    if state is not None:
        if not state.ended:
            raise Conflict(f"Job {job.prompt_id} waits or runs already.", type="duplicate_prompt_id")
        connection.execute("DELETE FROM jobs WHERE prompt_id = ?", (job.prompt_id,))
    if job.idempotency_key is not None:
        of_key = "SELECT prompt_id FROM jobs WHERE user = ? AND idempotency_key = ?"
        if (row := connection.execute(of_key, (job.user, job.idempotency_key)).fetchone()) is not None:
            raise Conflict(f"The idempotency key belongs to job {row[0]}.", type="duplicate_idempotency_key")
    return int(connection.execute(job_rows.INSERT_JOB, values).lastrowid or 0)


def _append(connection: sqlite3.Connection, prompt_id: str, rows: list[tuple[int, bytes]]) -> None:
    job = connection.execute("SELECT sequence FROM jobs WHERE prompt_id = ?", (prompt_id,)).fetchone()
    for start in range(0, len(rows) if job else 0, ROWS):
        part = rows[start : start + ROWS]
        statement = f"INSERT OR REPLACE INTO events VALUES {', '.join(['(?, ?, ?)'] * len(part))}"
        connection.execute(statement, [value for row in part for value in (job[0], *row)])


def _state(connection: sqlite3.Connection, prompt_id: str) -> JobState | None:
    row = connection.execute("SELECT state FROM jobs WHERE prompt_id = ?", (prompt_id,)).fetchone()
    return None if row is None else JobState(row[0])


def _events(prompt_id: str, after: int, connection: sqlite3.Connection) -> list[NumberedEvent]:
    statement = (
        "SELECT events.number, event FROM events JOIN jobs ON job = sequence"
        " WHERE prompt_id = ? AND events.number > ? ORDER BY events.number LIMIT ?"
    )
    return [job_rows.event_of(row) for row in connection.execute(statement, (prompt_id, after, PAGE))]


def _page(question: EndedQuestion) -> tuple[str, tuple[object, ...]]:
    """The end of a statement, and its values, for a page of ended jobs."""
    where, values = _ended(question)
    direction = "DESC" if question.get("newest_first") else "ASC"
    keys = ", ".join(f"{key} {direction}" for key in _ORDERS[question.get("order", "end")])
    limit, offset = question.get("limit"), question.get("offset", 0)
    page = (-1 if limit is None else max(limit, 0), max(offset, 0))
    return f"{where} ORDER BY {keys} LIMIT ? OFFSET ?", (*values, *page)


def _ended(filter: EndedFilter) -> tuple[str, tuple[object, ...]]:
    """Condition and values for ended jobs."""
    states, workflow_id = filter.get("states"), filter.get("workflow_id")
    where, values = _of_user("WHERE ended_ms IS NOT NULL", (), filter.get("user"))
    if states is not None:
        condition, more = _in_states(states)
        where, values = f"{where} AND {condition}", values + more
    if workflow_id is not None:
        where, values = f"{where} AND workflow_id = ?", (*values, workflow_id)
    return where, values


def _in_states(states: tuple[JobState, ...]) -> tuple[str, tuple[object, ...]]:
    return f"state IN ({', '.join('?' * len(states))})", tuple(state.value for state in states)


def _of_user(statement: str, values: tuple[object, ...], user: str | None) -> tuple[str, tuple[object, ...]]:
    return (statement, values) if user is None else (f"{statement} AND user = ?", (*values, user))
