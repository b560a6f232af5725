"""The job database: kills, locks, older formats, damage, and an event loop that is never held up."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from comfykernel_sdk.errors import BadInput, ConfigError, PluginError, Unavailable
from comfykernel_sdk.jobs import Job, JobState, Outcome
from comfykernel_sdk.settings import PathSettings, Settings
from comfykernel_storage_fs import job_rows
from comfykernel_storage_fs.group_commit import GroupCommit
from comfykernel_storage_fs.jobs import SqliteJobStore
from comfykernel_storage_fs.plugin import make_storage
from comfykernel_storage_fs.schema import MIGRATIONS, migrate

if TYPE_CHECKING:
    from comfykernel_sdk.json_types import Json

SUBMITTER = Path(__file__).with_name("submit_until_killed.py")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "state" / "jobs.sqlite"


def start_submitter(database: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(SUBMITTER), str(database)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def read_until(process: subprocess.Popen[str], count: int) -> list[str]:
    """So many whole lines of what the process says."""
    assert process.stdout is not None
    return [process.stdout.readline().strip() for _ in range(count)]


@pytest.mark.parametrize("lines", [1, 37, 400])
async def test_a_kill_loses_nothing_that_was_acknowledged(database: Path, lines: int) -> None:
    process = start_submitter(database)
    said = read_until(process, lines)
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate(timeout=30)
    said += [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    told: dict[str, set[str]] = {"added": set(), "event": set(), "ended": set()}
    for line in said:
        told[line.split()[0]].add(line.split()[1])
    assert told["added"]

    jobs = await SqliteJobStore.open(database)
    ended = {job.prompt_id for job in await jobs.ended()}
    kept = {job.prompt_id for job in await jobs.unfinished()} | ended
    assert told["added"] <= kept
    assert told["ended"] <= ended
    for id in told["event"]:
        assert await jobs.last_event_number(id) == 1
    await jobs.close()


async def test_a_second_server_is_refused(database: Path) -> None:
    process = start_submitter(database)
    try:
        read_until(process, 1)
        with pytest.raises(PluginError, match="in use by another server") as caught:
            await SqliteJobStore.open(database)
        assert caught.value.type == "database_in_use"
    finally:
        process.kill()
        process.communicate(timeout=30)
    jobs = await SqliteJobStore.open(database)
    with pytest.raises(PluginError, match="in use"):
        await SqliteJobStore.open(database)
    await jobs.close()
    await (await SqliteJobStore.open(database)).close()


OLD_JOB = {
    "prompt_id": "old",
    "number": 3.5,
    "state": "queued",
    "user": "u",
    "idempotency_key": "k",
    "request_digest": "d",
    "attempts": 1,
    "created_ms": 7,
    "worker": "",
    "graph": job_rows.encode({"1": {"class_type": "X"}}),
    "extra_data": job_rows.encode({}),
    "outputs_to_execute": job_rows.encode(["1"]),
}


def make_old(database: Path, version: int) -> None:
    """A database as an older version left it: a job that waits, and two that ended in the same millisecond."""
    database.parent.mkdir(parents=True)
    connection = sqlite3.connect(database)
    for statements in MIGRATIONS[:version]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {version}")
    ended = {"state": "done", "ended_ms": 9, "idempotency_key": None}
    for values in (OLD_JOB, OLD_JOB | ended | {"prompt_id": "e1"}, OLD_JOB | ended | {"prompt_id": "e2"}):
        marks = ", ".join("?" * len(values))
        connection.execute(f"INSERT INTO jobs ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))
    connection.commit()
    connection.close()


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS)))
async def test_older_formats_are_brought_up_to_date(database: Path, version: int) -> None:
    make_old(database, version)
    jobs = await SqliteJobStore.open(database)
    waiting = await jobs.get("old")
    assert waiting is not None
    assert (waiting.number, waiting.graph, waiting.attempts) == (3.5, {"1": {"class_type": "X"}}, 1)
    await jobs.add(Job(prompt_id="new", number=1, graph={}))
    await jobs.finish("new", Outcome(status="done"), ended_ms=9)
    assert [job.prompt_id for job in await jobs.ended()] == ["e1", "e2", "new"]
    await jobs.close()


def test_migrating_stops_halfway_without_harm(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "x.sqlite", isolation_level=None)
    connection.execute("CREATE TABLE events (in_the_way)")
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.execute("DROP TABLE events")
    migrate(connection)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    connection.close()


async def test_a_newer_format_is_refused_and_kept(database: Path) -> None:
    make_old(database, 1)
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(PluginError, match="format 99"):
        await SqliteJobStore.open(database)
    assert [each.name for each in database.parent.iterdir() if "damaged" in each.name] == []


@pytest.mark.parametrize("place", [0, 4096])
async def test_a_damaged_database_is_moved_aside(database: Path, place: int, caplog: pytest.LogCaptureFixture) -> None:
    make_old(database, len(MIGRATIONS))
    with database.open("r+b") as file:
        file.seek(place)
        file.write(b"\xa5" * 2000)
    damaged = database.read_bytes()
    jobs = await SqliteJobStore.open(database)
    assert await jobs.unfinished() == []
    await jobs.add(Job(prompt_id="a", number=1, graph={}))
    await jobs.close()
    kept = [each for each in database.parent.iterdir() if ".damaged-" in each.name and each.suffix != ".lock"]
    assert kept[0].read_bytes()[4096:] == damaged[4096:]
    assert str(kept[0]) in caplog.text
    assert caplog.records[0].levelname == "ERROR"


async def test_a_database_that_cannot_be_opened_is_left_alone(database: Path) -> None:
    database.mkdir(parents=True)
    with pytest.raises(PluginError, match="can't be opened"):
        await SqliteJobStore.open(database)
    assert database.is_dir()
    (database.parent / "file").touch()
    with pytest.raises(PluginError, match="can't be opened"):
        await SqliteJobStore.open(database.parent / "file" / "jobs.sqlite")


async def test_only_the_owner_reads_the_database(database: Path) -> None:
    jobs = await SqliteJobStore.open(database)
    await jobs.add(Job(prompt_id="a", number=1, graph={}))
    for name in ("jobs.sqlite", "jobs.sqlite-wal"):
        assert database.with_name(name).stat().st_mode & 0o077 == 0
    await jobs.close()


async def test_secrets_leave_the_file_when_a_job_ends(database: Path) -> None:
    jobs = await SqliteJobStore.open(database)
    await jobs.add(Job(prompt_id="a", number=1, graph={}, secrets={"key": "very-secret-token"}))
    await jobs.finish("a", Outcome(status="done"), ended_ms=1)
    await jobs.close()
    assert b"very-secret-token" not in database.read_bytes()


async def test_values_that_cannot_be_stored(database: Path) -> None:
    jobs = await SqliteJobStore.open(database)
    for job in (
        Job(prompt_id="a", number=1, graph={"1": {"inputs": {"seed": 2**64}}}),
        Job(prompt_id="a", number=float("nan"), graph={}),
        Job(prompt_id="a", number=1, graph={}, extra_data={"x": "\ud800"}),
    ):
        with pytest.raises(BadInput):
            await jobs.add(job)
    assert await jobs.unfinished() == []
    await jobs.close()


async def test_one_failing_change_does_not_harm_its_group(database: Path) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.execute("CREATE TABLE t (x INTEGER)")
    writer = GroupCommit(connection)
    hold = threading.Event()

    def insert(value: int, connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (?)", (value,))
        if value == 2:
            raise BadInput("two")

    first = asyncio.create_task(writer.run(lambda _: hold.wait(10)))
    await asyncio.sleep(0)
    changes = [asyncio.create_task(writer.run(partial(insert, value))) for value in range(5)]
    await asyncio.sleep(0)
    changes[4].cancel()
    hold.set()
    results = await asyncio.gather(first, *changes, return_exceptions=True)
    assert [type(result) for result in results[1:]] == [type(None)] * 2 + [BadInput, type(None), asyncio.CancelledError]
    assert await writer.run(lambda each: each.execute("SELECT x FROM t ORDER BY x").fetchall()) == [
        (0,),
        (1,),
        (3,),
        (4,),
    ]
    await writer.close()
    with pytest.raises(Unavailable, match="closed"):
        await writer.run(lambda _: None)


async def test_half_a_change_takes_its_group_with_it_and_nobody_is_told_otherwise(database: Path) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.execute("CREATE TABLE t (x INTEGER)")
    writer = GroupCommit(connection)
    hold = threading.Event()

    def insert(value: int, connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (?)", (value,))
        if value == 2:
            raise BadInput("two")

    first = asyncio.create_task(writer.run(lambda _: hold.wait(10)))
    await asyncio.sleep(0)
    changes = [asyncio.create_task(writer.run(partial(insert, value), savepoint=False)) for value in range(4)]
    await asyncio.sleep(0)
    hold.set()
    results = await asyncio.gather(first, *changes, return_exceptions=True)
    assert [type(result) for result in results[1:]] == [Unavailable] * 4
    assert await writer.run(lambda each: each.execute("SELECT x FROM t").fetchall()) == []
    await writer.close()


async def test_a_change_without_hurry_goes_before_the_next_one(database: Path) -> None:
    jobs = await SqliteJobStore.open(database)
    await jobs.add(Job(prompt_id="a", number=1, graph={}))
    started = asyncio.create_task(jobs.start("a", worker="w", attempts=1, started_ms=5))
    await asyncio.sleep(0)
    await jobs.finish("a", Outcome(status="done"), ended_ms=9)
    await started
    job = await jobs.get("a")
    assert job is not None
    assert (job.state, job.worker, job.started_ms) == (JobState.DONE, "w", 5)
    await jobs.add(Job(prompt_id="b", number=1, graph={}))
    late = asyncio.create_task(jobs.start("b", worker="w", attempts=1, started_ms=5))
    await asyncio.sleep(0)
    await jobs.close()
    await late
    again = await SqliteJobStore.open(database)
    assert [job.state for job in await again.unfinished()] == [JobState.RUNNING]
    await again.close()


async def test_a_full_disk_refuses_changes_and_keeps_the_rest(database: Path) -> None:
    jobs = await SqliteJobStore.open(database)
    await jobs.add(Job(prompt_id="a", number=1, graph={}))
    pages = await jobs._writer.run(lambda connection: connection.execute("PRAGMA page_count").fetchone()[0])
    await jobs._writer.run(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchall())
    with pytest.raises(Unavailable, match="full"):
        await jobs.add(Job(prompt_id="b", number=1, graph={"1": {"inputs": {"text": "x" * 100_000}}}))
    await jobs._writer.run(lambda connection: connection.execute("PRAGMA max_page_count = 100000").fetchall())
    await jobs.add(Job(prompt_id="c", number=2, graph={}))
    assert [job.prompt_id for job in await jobs.unfinished()] == ["a", "c"]
    await jobs.close()


async def test_many_events_are_replayed_in_pages(database: Path) -> None:
    from comfykernel_sdk.events import NodeText, NumberedEvent

    jobs = await SqliteJobStore.open(database)
    await jobs.add(Job(prompt_id="a", number=1, graph={}))
    events = [NumberedEvent(n, NodeText(prompt_id="a", node_id="1", text=str(n))) for n in range(1, 1201)]
    await jobs.append_events("a", events)
    assert [each async for each in jobs.events("a", since=100)] == events[100:]
    await jobs.remove_all(states=tuple(JobState))
    await jobs.close()


async def test_settings_of_the_plugin(tmp_path: Path) -> None:
    def settings(**table: Json) -> Settings:
        return Settings(paths=PathSettings(base=str(tmp_path)), plugin={"storage_fs": table})

    jobs = await make_storage(settings(synchronous="normal")).open_jobs()
    assert isinstance(jobs, SqliteJobStore)
    assert await jobs._writer.run(lambda each: each.execute("PRAGMA synchronous").fetchone()[0]) == 1
    await jobs.close()
    for key in ("synchronous", "sync"):
        with pytest.raises(ConfigError, match="storage_fs"):
            make_storage(settings(**{key: "off"}))
