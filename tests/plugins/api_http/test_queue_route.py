from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Served


async def test_running_and_waiting_prompts_in_order(served: Served) -> None:
    for id, number in [("late", 20), ("first", 1), ("soon", 2.5)]:
        await served.submit(id, number=number, extra_data={"mine": 1})
    served.kernel.start("first")
    graph = {"1": {"class_type": "Echo", "inputs": {"value": "a"}}}
    assert (await served.http.get("/api/queue")).json() == {
        "queue_running": [[1, "first", graph, {"mine": 1}, ["1"]]],
        "queue_pending": [[2.5, "soon", graph, {"mine": 1}, ["1"]], [20, "late", graph, {"mine": 1}, ["1"]]],
    }


async def test_delete_takes_out_what_waits(served: Served) -> None:
    for id in "abc":
        await served.submit(id)
    served.kernel.start("a")
    answer = await served.http.post("/queue", json={"delete": ["a", "b", "nope"]})
    assert (answer.status_code, answer.json()) == (200, {})
    assert list(served.kernel.jobs) == ["a", "c"]
    await served.http.post("/queue", json={"delete": "c"})
    assert list(served.kernel.jobs) == ["a"], "a text is the list of its letters"


async def test_clear_takes_out_all_that_wait(served: Served) -> None:
    for id in "abc":
        await served.submit(id)
    served.kernel.start("a")
    await served.http.post("/queue", json={"clear": False})
    assert len(served.kernel.jobs) == 3
    await served.http.post("/queue", json={"clear": True, "delete": ["a"]})
    assert list(served.kernel.jobs) == ["a"]


@pytest.mark.parametrize("body", ["", "{", "[]", "null", '{"delete": null}', '{"delete": 5}', '{"delete": {}}'])
async def test_bad_commands(served: Served, body: str) -> None:
    answer = await served.http.post("/queue", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] in ("invalid_json", "invalid_body")


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ("", None),
        ("{}", None),
        ("{{", None),
        ('{"prompt_id": ""}', None),
        ('{"prompt_id": "p"}', "p"),
        ('{"x": 1}', None),
    ],
)
async def test_interrupt(served: Served, body: str, asked: str | None) -> None:
    answer = await served.http.post("/interrupt", content=body)
    assert (answer.status_code, answer.json()) == (200, {})
    assert served.kernel.interrupted == [asked]


@pytest.mark.parametrize("body", ["null", "[]", "5"])
async def test_interrupt_needs_an_object(served: Served, body: str) -> None:
    assert (await served.http.post("/interrupt", content=body)).status_code == 400
    assert served.kernel.interrupted == []


async def test_free_passes_on_what_is_asked(served: Served) -> None:
    for body in ({"unload_models": True}, {"free_memory": 1}, {"unknown": 1}, {"unload_models": False}):
        answer = await served.http.post("/api/free", json=body)
        assert (answer.status_code, answer.json()) == (200, {})
    assert served.kernel.freed == [(True, False), (False, True)]
    for bad in ("", "[]", "{"):
        assert (await served.http.post("/free", content=bad)).status_code == 400
