from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from comfykernel_sdk.events import NodePlace, NodeStarted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .conftest import Serve, Served

GRAPH: dict[str, Any] = {"1": {"class_type": "Echo", "inputs": {"value": "a"}}}


async def post(served: Served, **members: Any) -> Any:
    return await served.http.post("/prompt", json={"prompt": GRAPH, **members})


async def test_a_prompt_is_accepted_and_counted(served: Served) -> None:
    answer = await post(served)
    assert answer.status_code == 200
    assert answer.json() == {"prompt_id": next(iter(served.kernel.jobs)), "number": 0, "node_errors": {}}
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    info = await served.http.get("/api/prompt")
    assert info.json() == {"exec_info": {"queue_remaining": 1}}


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded", "text/plain", ""])
async def test_the_body_is_json_whatever_its_type(served: Served, content_type: str) -> None:
    answer = await served.http.post(
        "/api/prompt", content=json.dumps({"prompt": GRAPH}), headers={"Content-Type": content_type}
    )
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("given", "seen"), [("my id", "my id"), (5, "5"), (5.5, "5.5"), ("a/ä", "a/ä")], ids=["text", "int", "float", "any"]
)
async def test_a_client_may_choose_the_id(served: Served, given: object, seen: str) -> None:
    assert (await post(served, prompt_id=given)).json()["prompt_id"] == seen
    served.kernel.end(seen)
    path = "/history/" + seen.replace("/", "%2F").replace(" ", "%20")
    assert list((await served.http.get(path)).json()) == [seen]


async def test_a_number_comes_back_as_float_and_may_be_a_text(served: Served) -> None:
    assert b'"number":7.0' in (await post(served, number=7)).content
    assert (await post(served, number="-2.5")).json()["number"] == -2.5


async def test_the_client_id_is_kept_in_extra_data(served: Served) -> None:
    await post(served, prompt_id="a", client_id="me", extra_data={"mine": 1})
    await post(served, prompt_id="b", extra_data={"client_id": "other"})
    jobs = served.kernel.jobs
    assert jobs["a"].extra_data == {"mine": 1, "client_id": "me"}
    assert jobs["a"].client_id == "me"
    assert jobs["b"].client_id == "other"


async def test_targets_may_be_a_list_or_a_text(served: Served) -> None:
    await post(served, prompt_id="list", partial_execution_targets=["1"])
    await post(served, prompt_id="text", partial_execution_targets="only 1 please")
    await post(served, prompt_id="none", partial_execution_targets=None)
    assert [served.kernel.jobs[id].outputs_to_execute for id in ("list", "text", "none")] == [["1"]] * 3


@pytest.mark.parametrize(
    ("body", "type"),
    [
        (b"{", "invalid_json"),
        (b"", "invalid_json"),
        (b"\xff\xfe", "invalid_json"),
        (b'{"prompt": {"1": {"class_type": "\\ud800"}}}', "invalid_json"),
        (b"null", "no_prompt"),
        (b"[]", "no_prompt"),
        (b"{}", "no_prompt"),
        (b'{"prompt": "abc"}', "invalid_request"),
        (b'{"prompt": {"1": 5}}', "invalid_prompt"),
        (b'{"prompt": {}}', "prompt_no_outputs"),
        (b'{"prompt": {"1": {}}, "number": "x"}', "invalid_request"),
        (b'{"prompt": {"1": {}}, "number": NaN}', "invalid_request"),
        (b'{"prompt": {"1": {}}, "extra_data": "abc"}', "invalid_request"),
        (b'{"prompt": {"1": {}}, "extra_data": []}', "invalid_request"),
        (b'{"prompt": {"1": {}}, "prompt_id": {}}', "invalid_request"),
        (b'{"prompt": {"1": {}}, "partial_execution_targets": 5}', "invalid_request"),
    ],
)
async def test_bad_input_is_400_with_an_error_response(served: Served, body: bytes, type: str) -> None:
    answer = await served.http.post("/prompt", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == type
    assert answer.json()["error"].keys() == {"type", "message", "details", "extra_info"}
    assert served.kernel.jobs == {}


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
async def test_deep_nesting_is_refused(served: Served, opening: bytes) -> None:
    for body, type in (
        (b'{"prompt": ' + opening * (10_000_000 // len(opening)), "too_many_containers"),
        (b'{"prompt": ' + opening * 100_000, "too_deep"),
        (b'{"prompt": {"1": {"inputs": ' + b"[" * 300 + b"]" * 300 + b"}}}", "too_deep"),
    ):
        answer = await served.http.post("/prompt", content=body)
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, type)
    assert (await served.http.get("/prompt")).status_code == 200


async def test_python_json_is_understood(served: Served) -> None:
    body = (
        b'{"prompt": {"1": {"class_type": "Echo", "inputs": {"a": NaN, "b": Infinity, "c": 1e999}}}, "prompt_id": "p"}'
    )
    assert (await served.http.post("/prompt", content=body)).status_code == 200
    assert served.kernel.jobs["p"].graph["1"]["inputs"]["b"] == float("inf")


async def test_an_id_that_waits_is_a_conflict(served: Served) -> None:
    await served.submit("p")
    answer = await post(served, prompt_id="p")
    assert (answer.status_code, answer.json()["error"]["type"]) == (409, "prompt_id_taken")


async def test_a_repeated_key_queues_nothing_new(served: Served) -> None:
    body, headers = {"prompt": GRAPH}, {"Idempotency-Key": "k"}
    first = await served.http.post("/prompt", json=body, headers=headers)
    again = await served.http.post("/prompt", json=body, headers=headers)
    assert first.json()["prompt_id"] == again.json()["prompt_id"]
    assert again.headers["idempotency-replayed"] == "true"
    assert len(served.kernel.jobs) == 1


async def test_nothing_of_a_prompt_is_told_before_its_answer(served: Served) -> None:
    listener = await served.socket("me")
    await listener.next()
    served.kernel.run_at_once = True
    await served.submit("p", client_id="me")
    told = await listener.until("executing")
    assert [m["type"] for m in told] == ["status", "status", "execution_start", "status", "executing"]


async def test_a_large_body_is_413(serve: Serve) -> None:
    async with serve(max_upload_mb=0.01) as served:
        for content in (b" " * 20_000, in_pieces(b" " * 4_000, 5)):
            answer = await served.http.post("/prompt", content=content)
            assert (answer.status_code, answer.json()["error"]["type"]) == (413, "too_large")
        assert (await served.http.get("/prompt")).status_code == 200


async def in_pieces(piece: bytes, count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield piece


async def test_a_client_that_hangs_up_in_its_body_does_no_harm(served: Served) -> None:
    host, port = served.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as raw:
        raw.sendall(b"POST /prompt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
        await asyncio.sleep(0.05)
    assert (await served.http.get("/prompt")).json() == {"exec_info": {"queue_remaining": 0}}


async def test_events_of_other_prompts_go_on_while_one_is_submitted(served: Served) -> None:
    listener = await served.socket("me")
    await served.submit("first", client_id="me")
    served.kernel.start("first")
    served.kernel.publish(NodeStarted(prompt_id="first", place=NodePlace("1", "1")))
    told = await listener.until("executing")
    assert told[-1]["data"] == {"node": "1", "display_node": "1", "prompt_id": "first"}
