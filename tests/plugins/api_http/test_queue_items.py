"""Long queues and histories: encoded once, off the event loop, and never stale."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from comfykernel_api_http import queue_items
from comfykernel_api_http.ended_jobs import EndedJobs
from comfykernel_api_http.queue_items import QueueItems
from comfykernel_sdk.jobs import Job, Outcome

if TYPE_CHECKING:
    from .conftest import Served


class Queue:
    """The part of a kernel that holds the queue."""

    def __init__(self, running: int, pending: int) -> None:
        self.jobs = [new_job(number) for number in range(running + pending)]
        self.count = running

    def running(self) -> list[Job]:
        return self.jobs[: self.count]

    def pending(self) -> list[Job]:
        return self.jobs[self.count :]


def new_job(number: int, *, id: str = "") -> Job:
    graph: Any = {"1": {"class_type": "Echo", "inputs": {"value": number}}}
    return Job(prompt_id=id or f"p{number}", number=number, sequence=number, graph=graph, user=f"u{number % 2}")


def ids(body: bytes | None) -> list[list[str]]:
    assert body is not None
    return [[item[1] for item in json.loads(body)[name]] for name in ("queue_running", "queue_pending")]


async def test_the_queue_is_told_as_it_is() -> None:
    queue: Any = Queue(1, 3)
    items = QueueItems(queue)
    for _ in range(2):
        assert ids(items.at_once()) == ids(await items.of_user(None)) == [["p0"], ["p1", "p2", "p3"]]
    queue.count = 2
    assert ids(items.at_once()) == [["p0", "p1"], ["p2", "p3"]]
    queue.jobs[2] = new_job(9, id="p2")
    assert json.loads(items.at_once() or b"")["queue_pending"][0][0] == 9
    assert ids(await items.of_user("u1")) == [["p1"], ["p2", "p3"]]
    queue.jobs.clear()
    assert items.at_once() == b'{"queue_running":[],"queue_pending":[]}'


async def test_a_long_queue_is_encoded_in_a_thread_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[str] = []
    on_loop: list[bool] = []
    encode = queue_items.queue_item

    def counted(job: Job) -> list[object]:
        encoded.append(job.prompt_id)
        try:
            asyncio.get_running_loop()
            on_loop.append(True)
        except RuntimeError:
            on_loop.append(False)
        return encode(job)

    monkeypatch.setattr(queue_items, "queue_item", counted)
    queue: Any = Queue(1, 999)
    items = QueueItems(queue)
    assert items.at_once() is None
    assert len(ids(await items.of_user(None))[1]) == 999
    assert not any(on_loop)
    assert items.at_once() is None  # too large to be sent in one piece
    queue.jobs.append(new_job(1000))
    assert len(ids(await items.of_user(None))[1]) == 1000
    assert await items.of_user(None) is await items.of_user(None)
    assert len(encoded) == len(set(encoded)) == 1001
    del queue.jobs[2:]
    assert ids(items.at_once()) == [["p0"], ["p1"]]
    assert len(items._kept) == 2


async def test_what_is_too_large_is_not_kept() -> None:
    queue: Any = Queue(0, 50)
    items = QueueItems(queue, kept_bytes=100)
    assert ids(items.at_once()) == ids(items.at_once())
    assert items._kept == {}


async def end_many(served: Served, count: int) -> list[str]:
    ids = [f"p{number}" for number in range(count)]
    for id in ids:
        await served.submit(id)
        served.kernel.start(id)
        served.kernel.end(id, Outcome(status="done", outputs={"1": {"text": ["a" * 100]}}))
    return ids


async def test_a_long_history_is_read_once(served: Served) -> None:
    ids = await end_many(served, 60)
    asked: list[str] = []
    history, job = served.kernel.history, served.kernel.job

    async def whole(**question: Any) -> Any:
        asked.append("all")
        return await history(**question)

    async def one(id: str) -> Any:
        asked.append(id)
        return await job(id)

    served.kernel.history, served.kernel.job = whole, one  # type: ignore[method-assign]
    for path in ("/history", "/api/history", "/jobs"):
        for _ in range(3):
            answer = (await served.http.get(path)).json()
            assert len(answer["jobs"] if path == "/jobs" else answer) == len(ids)
    assert asked == ["all"] * 3
    await end_many(served, 1)
    assert len((await served.http.get("/history")).json()) == len(ids)
    assert asked == ["all"] * 3 + ["p0"]


async def test_a_job_that_is_forgotten_meanwhile_is_left_out(served: Served) -> None:
    await end_many(served, 3)
    keys = await served.kernel.history_keys()
    del served.kernel.jobs["p1"]
    await served.submit("p2")  # the id is used again
    ended = EndedJobs(served.kernel)  # type: ignore[arg-type]
    assert [id for id, _ in await ended.entries(keys, {}, "item")] == ["p0"]


async def test_encoded_jobs_are_kept_within_bounds(served: Served) -> None:
    ids = await end_many(served, 60)
    ended = EndedJobs(served.kernel, kept_bytes=2_000)  # type: ignore[arg-type]
    for form in ("classic", "item", "summary"):
        entries = await ended.page({}, form)  # type: ignore[arg-type]
        assert [id for id, _ in entries] == ids
        assert all(json.loads(entry) for _, entry in entries)
        assert sum(map(len, ended._kept.values())) <= 2_000


async def test_a_large_answer_arrives_whole(served: Served) -> None:
    await served.submit("p")
    served.kernel.end("p", Outcome(status="done", outputs={"1": {"text": ["ab" * 3_000_000]}}))
    for path in ("/history", "/api/history/p"):
        answer = await served.http.get(path)
        assert len(answer.content) == int(answer.headers["content-length"]) > 6_000_000
        assert "ab" * 3_000_000 in answer.text
