from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from comfykernel_sdk.jobs import Outcome

if TYPE_CHECKING:
    from .conftest import Served

RAN = {"1": {"class_type": "Echo", "inputs": {"value": "a"}, "is_changed": ["x"]}}
OUTCOME = Outcome(
    status="done",
    outputs={"1": {"text": ["a"]}},
    meta={"1": {"node_id": "1", "display_node": "1", "parent_node": None, "real_node_id": "1"}},
    messages=[("execution_start", {"prompt_id": "p", "timestamp": 5})],
    graph=RAN,
)


async def ended(served: Served, *ids: str, outcome: Outcome = OUTCOME) -> None:
    for id in ids:
        await served.submit(id, client_id="me", extra_data={"mine": 1})
        served.kernel.end(id, outcome)


async def get(served: Served, path: str, **headers: str) -> Any:
    answer = await served.http.get(path, headers=headers)
    assert answer.status_code == 200
    return answer.json()


CLASSIC = {
    "prompt": [0, "p", RAN, {"mine": 1, "client_id": "me"}, ["1"]],
    "outputs": {"1": {"text": ["a"]}},
    "status": {
        "status_str": "success",
        "completed": True,
        "messages": [["execution_start", {"prompt_id": "p", "timestamp": 5}]],
    },
    "meta": OUTCOME.meta,
}


async def test_bare_paths_give_the_shape_of_client_libraries(served: Served) -> None:
    await ended(served, "p")
    assert await get(served, "/history") == {"p": CLASSIC}
    assert await get(served, "/history/p") == {"p": CLASSIC}
    assert await get(served, "/history/other") == {}


async def test_api_paths_give_the_shape_of_the_document(served: Served) -> None:
    await ended(served, "p")
    item = {
        "prompt_id": "p",
        "number": 0,
        "prompt": RAN,
        "extra_data": {"mine": 1, "client_id": "me"},
        "outputs_to_execute": ["1"],
        "outputs": CLASSIC["outputs"],
        "status": CLASSIC["status"],
        "meta": CLASSIC["meta"],
    }
    assert await get(served, "/api/history") == [item]
    assert await get(served, "/api/history/p") == item
    unknown = await served.http.get("/api/history/other")
    assert (unknown.status_code, unknown.json()["error"]["type"]) == (404, "unknown_prompt")


@pytest.mark.parametrize("name", ["Comfy-User", "Sec-Fetch-Site", "Referer"])
async def test_a_page_gets_the_classic_shape_everywhere(served: Served, name: str) -> None:
    value = {"Comfy-User": "", "Sec-Fetch-Site": "same-origin", "Referer": served.address + "/"}[name]
    await ended(served, "p")
    assert await get(served, "/api/history", **{name: value}) == {"p": CLASSIC}
    assert await get(served, "/api/history", Referer="http://other.example/") != {"p": CLASSIC}


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("", "abcd"),
        ("max_items=2", "cd"),
        ("max_items=2&offset=0", "ab"),
        ("offset=1", "bcd"),
        ("max_items=1&offset=2", "c"),
        ("offset=9", ""),
        ("offset=-2", "abcd"),
        ("max_items=3&offset=-1", "bcd"),
        ("max_items=0", ""),
        ("max_items=-1", ""),
        ("max_items=99999999999999999999", "abcd"),
    ],
)
async def test_pages(served: Served, query: str, ids: str) -> None:
    await ended(served, *"abcd")
    assert "".join(await get(served, "/history?" + query)) == ids
    assert "".join(item["prompt_id"] for item in await get(served, "/api/history?" + query)) == ids


@pytest.mark.parametrize("query", ["max_items=two", "offset=two", "max_items="])
async def test_a_number_must_be_one(served: Served, query: str) -> None:
    answer = await served.http.get("/history?" + query)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_parameter")


async def test_failed_and_cancelled_prompts_are_errors(served: Served) -> None:
    await ended(served, "f", outcome=Outcome(status="failed"))
    await ended(served, "c", outcome=Outcome(status="cancelled"))
    for entry in (await get(served, "/history")).values():
        assert (entry["status"]["status_str"], entry["status"]["completed"]) == ("error", False)


async def test_a_prompt_that_waits_is_no_history(served: Served) -> None:
    await served.submit("p")
    assert await get(served, "/history/p") == {}


async def test_delete_and_clear(served: Served) -> None:
    await ended(served, *"abc")
    assert (await served.http.post("/history", json={"delete": ["a", "nope", 5]})).json() == {}
    assert list(await get(served, "/history")) == ["b", "c"]
    await served.http.post("/history", json={"clear": False})
    assert list(await get(served, "/history")) == ["b", "c"]
    await served.http.post("/api/history", json={"clear": True})
    assert await get(served, "/history") == {}
    for body in ("x", "[]", "null"):
        assert (await served.http.post("/history", content=body)).status_code == 400


async def test_an_id_that_ran_again_shows_its_last_run(served: Served) -> None:
    await ended(served, "p")
    await get(served, "/history")
    await ended(served, "p", outcome=Outcome(status="failed"))
    assert (await get(served, "/history"))["p"]["status"]["status_str"] == "error"
