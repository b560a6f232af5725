"""Long queues and histories: encoded once, off the event loop, and never stale."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from comfykernel_api_http import history_items, queue_items
from comfykernel_api_http.history_items import HistoryItems
from comfykernel_api_http.queue_items import QueueItems
from comfykernel_sdk.jobs import Job, JobState, Outcome

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
    assert len(ids(items.at_once())[1]) == 999
    queue.jobs.append(new_job(1000))
    assert len(ids(items.at_once())[1]) == 1000
    assert len(encoded) == len(set(encoded)) == 1001


async def test_what_is_too_large_is_not_kept() -> None:
    queue: Any = Queue(0, 50)
    items = QueueItems(queue, kept_bytes=100)
    assert ids(items.at_once()) == ids(items.at_once())
    assert items._kept == {}


def ended(number: int) -> Job:
    job = new_job(number)
    job.state, job.ended_ms = JobState.DONE, number
    job.outcome = Outcome(status="done", outputs={"1": {"text": ["a" * 3_000]}})
    return job


async def test_a_long_history_is_encoded_in_a_thread_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    encode = history_items._encoded

    def counted(jobs: list[Job], *, classic: bool) -> Any:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            threads.append(len(jobs))
        return encode(jobs, classic=classic)

    monkeypatch.setattr(history_items, "_encoded", counted)
    items, jobs = HistoryItems(), [ended(number) for number in range(1_000)]
    for _ in range(2):
        body = json.loads(await items.as_object(jobs))
        assert list(body) == [job.prompt_id for job in jobs]
        assert len(json.loads(await items.as_array(jobs))) == 1_000
    assert threads == [1_000, 1_000]


async def test_a_large_answer_arrives_whole(served: Served) -> None:
    await served.submit("p")
    served.kernel.end("p", Outcome(status="done", outputs={"1": {"text": ["ab" * 3_000_000]}}))
    for path in ("/history", "/api/history/p"):
        answer = await served.http.get(path)
        assert len(answer.content) == int(answer.headers["content-length"]) > 6_000_000
        assert "ab" * 3_000_000 in answer.text
