"""Jobs survive a crash of anything."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from .conftest import Server

pytestmark = pytest.mark.e2e


def slow(value: str, seconds: float = 0.05) -> dict[str, Any]:
    return {
        "1": {"class_type": "ContractSleep", "inputs": {"value": value, "seconds": seconds}},
        "2": {"class_type": "ContractOutput", "inputs": {"value": ["1", 0]}},
    }


def test_a_killed_server_finishes_all_its_jobs_after_the_next_start(server: Server) -> None:
    running = server.post(slow("running", 3))
    waiting = [server.post(slow(f"waiting {n}")) for n in range(20)]
    server.wait(lambda: server.running() == [running], "the first job to run")
    workers = server.workers()
    server.kill()
    server.start()
    texts = {id: server.history(id)["outputs"]["2"]["text"] for id in [running, *waiting]}
    assert list(texts.values()) == [["running"], *([f"waiting {n}"] for n in range(20))]
    entries = server.http.get("/history").json()
    assert list(entries) == [running, *waiting], "each once, in the order of the queue"
    assert all(e["status"]["status_str"] == "success" for e in entries.values())
    assert not any(w.is_running() for w in workers), "the killed server's worker is gone"


def test_a_job_whose_worker_is_killed_runs_again_and_the_server_answers_throughout(server: Server) -> None:
    failures: list[str] = []
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.01):
            try:
                answer = server.http.get("/queue")
            except httpx.HTTPError as error:
                failures.append(repr(error))
            else:
                failures.extend([answer.text] if answer.status_code != 200 else [])

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        job = server.post(slow("again", 5))
        server.wait(lambda: _started(server, job), "the worker to begin")
        (worker,) = server.workers()
        worker.kill()
        server.wait(lambda: _started(server, job) == 2, "another worker to begin")
        entry = server.history(job)
    finally:
        over.set()
        asking.join()
    assert entry["status"]["status_str"] == "success"
    assert entry["outputs"]["2"]["text"] == ["again"]
    assert not failures
    assert server.workers() != [worker]


def test_a_job_that_kills_two_workers_fails_with_the_reason_and_the_next_one_runs(server: Server) -> None:
    bad, good = server.post(slow("bad", 30)), server.post(slow("good"))
    killed = []
    for _ in range(2):
        server.wait(lambda: bad in server.running() and server.workers(), "the job to run")
        server.wait(lambda: any(w not in killed for w in server.workers()), "a new worker")
        (worker,) = (w for w in server.workers() if w not in killed)
        server.wait(lambda: _started(server, bad) > len(killed), "the worker to begin")
        worker.kill()
        killed.append(worker)
    entry = server.history(bad)
    assert entry["status"]["status_str"] == "error"
    ((kind, message),) = [m for m in entry["status"]["messages"] if m[0] == "execution_error"]
    assert kind == "execution_error"
    assert "lost 2 times" in message["exception_message"]
    assert "SIGKILL" in message["exception_message"]
    assert server.history(good)["status"]["status_str"] == "success"


def _started(server: Server, job: str) -> int:
    """How often a worker has begun the job."""
    return server.log().count(f"begins job {job}")


def test_a_prompt_is_accepted_once_for_one_idempotency_key(server: Server) -> None:
    body = {"prompt": slow("once")}
    first, second = (server.http.post("/prompt", json=body, headers={"Idempotency-Key": "k"}).json() for _ in range(2))
    assert first["prompt_id"] == second["prompt_id"]
    server.history(first["prompt_id"])
    assert len(server.http.get("/history").json()) == 1
    other = server.http.post("/prompt", json={"prompt": slow("twice")}, headers={"Idempotency-Key": "k"})
    assert other.status_code == 409
    assert other.json()["error"]["type"] == "idempotency_key_reused"


def test_an_interrupt_reaches_a_node_that_sleeps_and_the_queue_goes_on(server: Server) -> None:
    job, next_job = server.post(slow("long", 30)), server.post(slow("next"))
    server.wait(lambda: job in server.running(), "the job to run")
    assert server.http.post("/interrupt", json={"prompt_id": "other"}).json() == {}
    assert job in server.running()
    server.http.post("/interrupt")
    entry = server.history(job)
    assert [m[0] for m in entry["status"]["messages"]][-1] == "execution_interrupted"
    assert server.history(next_job)["status"]["status_str"] == "success"
