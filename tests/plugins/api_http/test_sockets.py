from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import InvalidStatus

from comfykernel_api_http.outbox import MAX_BYTES, MAX_FRAMES
from comfykernel_api_http.sockets.connection import TOO_SLOW, Connection
from comfykernel_sdk.events import (
    ExecutionCached,
    ExecutionFailed,
    ExecutionInterrupted,
    ExecutionSucceeded,
    NodeMessage,
    NodeOutput,
    NodePlace,
    NodePreview,
    NodeProgress,
    NodeStarted,
    NodeText,
)

if TYPE_CHECKING:
    from .conftest import Listener, Serve, Served

ONE = NodePlace("1", "1")
INNER = NodePlace("1.x", "1", parent_node_id="1", real_node_id="1")


async def listen(served: Served, sid: str) -> Listener:
    listener = await served.socket(sid)
    assert (await listener.next())["data"]["sid"] == sid
    return listener


def step(value: float, state: Any = "running", place: NodePlace = ONE, *, preview: bool = False) -> NodeProgress:
    announce: Any = "progress" if state == "running" and value else "state"
    return NodeProgress(
        prompt_id="p", place=place, value=value, max=2, state=state, announce=announce, has_preview=preview
    )


def kinds(messages: list[Any]) -> list[str]:
    return [f"binary {struct.unpack('>I', m[:4])[0]}" if isinstance(m, bytes) else m["type"] for m in messages]


@pytest.mark.parametrize("query", ["", "?clientId="])
async def test_the_greeting_makes_up_an_id(served: Served, query: str) -> None:
    await served.submit("p")
    greeting = await (await served.socket(query and "")).next()
    assert greeting["data"]["status"] == {"exec_info": {"queue_remaining": 1}}
    assert len(bytes.fromhex(greeting["data"]["sid"])) == 16


async def test_a_run_is_told_to_its_client_in_order(served: Served) -> None:
    me, other = await listen(served, "me"), await listen(served, "other")
    await served.submit("p", client_id="me")
    kernel = served.kernel
    kernel.start("p")
    for event in (
        ExecutionCached(prompt_id="p", nodes=["9"]),
        step(0),
        NodeStarted(prompt_id="p", place=ONE),
        step(1),
        NodeOutput(prompt_id="p", place=INNER, output={"text": ["ä"]}),
        step(2, "finished"),
        NodeMessage(prompt_id="p", event="pack.thing", data=[1], client_id="me"),
        ExecutionSucceeded(prompt_id="p", timestamp=7),
    ):
        kernel.publish(event)
    kernel.end("p")
    told = [await me.next() for _ in range(14)]
    assert kinds(told) == [
        "status", "status", "execution_start", "execution_cached", "progress_state", "executing", "progress_state",
        "progress", "executed", "progress_state", "pack.thing", "execution_success", "status", "executing",
    ]  # fmt: skip
    by_kind = dict(zip(kinds(told), told, strict=True))
    assert by_kind["execution_cached"]["data"]["nodes"] == ["9"]
    assert by_kind["executed"]["data"] == {
        "node": "1.x", "display_node": "1", "output": {"text": ["ä"]}, "prompt_id": "p",
    }  # fmt: skip
    assert by_kind["progress"]["data"] == {"value": 1, "max": 2, "prompt_id": "p", "node": "1"}
    assert by_kind["execution_success"]["data"] == {"prompt_id": "p", "timestamp": 7}
    assert told[5]["data"] == {"node": "1", "display_node": "1", "prompt_id": "p"}
    assert told[-1]["data"] == {"node": None, "prompt_id": "p"}
    assert kinds(await other.quiet()) == ["status", "status", "status"]


async def test_progress_state_of_many_nodes_is_told_seldom_and_at_the_end(served: Served) -> None:
    me = await listen(served, "me")
    await served.submit("p", client_id="me")
    served.kernel.start("p")
    places = [NodePlace(str(number), str(number)) for number in range(1000)]
    for place in places:
        served.kernel.publish(step(0, place=place))
        served.kernel.publish(NodeStarted(prompt_id="p", place=place))
        served.kernel.publish(step(2, "finished", place))
    served.kernel.publish(ExecutionSucceeded(prompt_id="p", timestamp=7))
    served.kernel.end("p")
    told = await me.until("execution_success")
    states = [m["data"]["nodes"] for m in told if m["type"] == "progress_state"]
    assert len(states) < 250
    assert [len(state) for state in states[:3]] == [1, 1, 2]
    assert {each["state"] for each in states[-1].values()} == {"finished"}
    assert len(states[-1]) == 1000
    assert kinds(told).count("executing") == 1000


async def test_progress_state_that_was_held_back_is_told_while_a_node_runs_on(served: Served) -> None:
    me = await listen(served, "me")
    await served.submit("p", client_id="me")
    served.kernel.start("p")
    for number in range(80):
        served.kernel.publish(step(0, place=NodePlace(str(number), str(number))))
    states = [m["data"]["nodes"] for m in await me.quiet() if m["type"] == "progress_state"]
    assert len(states[-1]) == 80


async def test_progress_state_collects_all_nodes(served: Served) -> None:
    me = await listen(served, "me")
    await served.submit("p", client_id="me")
    served.kernel.start("p")
    for event in (step(0), step(2, "finished"), step(0, place=INNER), step(0, "pending", NodePlace("3", "3"))):
        served.kernel.publish(event)
    states = [m["data"]["nodes"] for m in await me.quiet() if m["type"] == "progress_state"]
    assert [list(nodes) for nodes in states] == [["1"], ["1"], ["1", "1.x"], ["1", "1.x"]]
    assert states[-1]["1"]["state"] == "finished"
    assert states[-1]["1.x"] == {
        "value": 0, "max": 2, "state": "running", "node_id": "1.x", "prompt_id": "p", "display_node_id": "1",
        "parent_node_id": "1", "real_node_id": "1",
    }  # fmt: skip


async def test_of_a_prompt_without_client_all_see_progress_and_interruption_only(served: Served) -> None:
    listeners = [await listen(served, sid) for sid in "ab"]
    await served.submit("p")
    kernel = served.kernel
    kernel.start("p")
    for event in (
        step(0),
        NodeStarted(prompt_id="p", place=ONE),
        step(1, preview=True),
        NodePreview(prompt_id="p", place=ONE, image=b"jpg", format="JPEG"),
        NodeOutput(prompt_id="p", place=ONE, output={}),
        NodeText(prompt_id="p", node_id="1", text="for nobody"),
        ExecutionInterrupted(prompt_id="p", node_id="1", node_type="Echo", executed=[]),
    ):
        kernel.publish(event)
    kernel.end("p")
    for listener in listeners:
        assert kinds(await listener.quiet()) == [
            "status", "status", "progress_state", "progress_state", "progress", "binary 1", "execution_interrupted",
            "status",
        ]  # fmt: skip


async def test_messages_of_a_client_that_is_gone_go_to_nobody(served: Served) -> None:
    other = await listen(served, "other")
    await served.submit("p", client_id="gone")
    served.kernel.start("p")
    served.kernel.publish(step(0))
    served.kernel.end("p")
    assert kinds(await other.quiet()) == ["status"] * 3


async def test_an_error_tells_what_clients_show(served: Served) -> None:
    me = await listen(served, "me")
    await served.submit("p", client_id="me")
    served.kernel.start("p")
    for timed in (True, False):
        served.kernel.publish(
            ExecutionFailed(
                prompt_id="p",
                node_id="1",
                node_type="Echo",
                executed=["0"],
                exception_message="m",
                timed=timed,
                exception_type="ValueError",
                traceback=["t"],
                current_inputs={"a": [1]},
                current_outputs=["2"],
            )
        )
    errors = [m["data"] for m in await me.quiet() if m["type"] == "execution_error"]
    assert errors[0].pop("timestamp") > 0
    assert (
        errors
        == [
            {
                "prompt_id": "p",
                "node_id": "1",
                "node_type": "Echo",
                "executed": ["0"],
                "exception_message": "m",
                "exception_type": "ValueError",
                "traceback": ["t"],
                "current_inputs": {"a": [1]},
                "current_outputs": ["2"],
            }
        ]
        * 2
    )


async def test_previews_with_metadata_come_before_their_step(served: Served) -> None:
    plain, modern = await listen(served, "plain"), await listen(served, "modern")
    for told, flag in [(plain, 1), (modern, True)]:
        await told.link.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": flag}}))
        features = await told.next()
        assert features["data"] == {"supports_preview_metadata": True, "max_upload_size": 104857600}
    for id, sid in [("p", "plain"), ("q", "modern")]:
        await served.submit(id, client_id=sid)
        served.kernel.start(id)
        event = step(1, place=INNER, preview=True)
        served.kernel.publish(NodeProgress(**{**_members(event), "prompt_id": id}))
        served.kernel.publish(NodePreview(prompt_id=id, place=INNER, image=b"picture", format="PNG"))
        served.kernel.end(id)
    seen = [m for m in await plain.quiet() if isinstance(m, bytes) or m["type"].startswith("progress")]
    assert kinds(seen) == ["progress_state", "progress", "binary 1"]
    assert seen[-1] == struct.pack(">II", 1, 2) + b"picture"
    seen = [m for m in await modern.quiet() if isinstance(m, bytes) or m["type"].startswith("progress")]
    assert kinds(seen) == ["progress_state", "binary 4", "progress"]
    length = struct.unpack(">I", seen[1][4:8])[0]
    assert json.loads(seen[1][8 : 8 + length]) == {
        "node_id": "1.x", "prompt_id": "q", "display_node_id": "1", "parent_node_id": "1", "real_node_id": "1",
        "image_type": "image/png",
    }  # fmt: skip
    assert seen[1][8 + length :] == b"picture"


def _members(event: NodeProgress) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


async def test_texts_are_binary_and_may_go_to_all(served: Served) -> None:
    me, other = await listen(served, "me"), await listen(served, "other")
    await served.submit("p", client_id="me")
    served.kernel.start("p")
    for broadcast in (False, True):
        served.kernel.publish(NodeText(prompt_id="p", node_id="ä", text="ß", broadcast=broadcast))
    frame = struct.pack(">II", 3, 2) + "äß".encode()
    assert [m for m in await me.quiet() if isinstance(m, bytes)] == [frame, frame]
    assert [m for m in await other.quiet() if isinstance(m, bytes)] == [frame]


async def test_only_the_first_message_tells_features(served: Served) -> None:
    me = await listen(served, "me")
    for text in ("hello", "{", '{"type": "ping"}', '{"type": "feature_flags"}', "5", "[1]"):
        await me.link.send(text)
    await me.link.send(b"bytes")
    assert await me.quiet() == []
    other = await listen(served, "other")
    await other.link.send("{")
    await other.link.send('{"type": "feature_flags"}')
    await other.link.send('{"type": "feature_flags"}')
    assert kinds(await other.quiet()) == ["feature_flags"]


async def test_who_comes_back_is_told_the_running_node(served: Served) -> None:
    me = await listen(served, "me")
    await served.submit("p", client_id="me")
    served.kernel.start("p")
    served.kernel.publish(NodeStarted(prompt_id="p", place=ONE))
    await me.until("executing")
    await me.link.close()
    again = await listen(served, "me")
    assert await again.next() == {"type": "executing", "data": {"node": "1"}}
    assert await (await listen(served, "other")).quiet() == []
    served.kernel.end("p")
    assert kinds(await again.quiet()) == ["status", "executing"]
    assert await (await listen(served, "me")).quiet() == []


async def test_the_newer_connection_takes_over_and_closing_the_older_changes_nothing(served: Served) -> None:
    older, newer = await listen(served, "me"), await listen(served, "me")
    await served.submit("p", client_id="me")
    assert kinds(await newer.quiet()) == ["status"]
    assert await older.quiet() == []
    await older.link.close()
    served.kernel.start("p")
    served.kernel.end("p")
    assert kinds(await newer.quiet()) == ["status", "execution_start", "status", "executing"]


async def test_another_user_can_not_take_a_client_over(serve: Serve) -> None:
    async with serve(multi_user=True) as served:
        await served.socket("me", additional_headers={"Comfy-User": "ann"})
        await served.socket("me", additional_headers={"Comfy-User": "ann"})
        with pytest.raises(InvalidStatus) as refusal:
            await served.socket("me", additional_headers={"Comfy-User": "bob"})
        assert refusal.value.response.status_code == 403


class Pipe:
    """Stands for a client that reads nothing until it is opened."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    async def send(self, message: Any) -> None:
        self.sent.append(message)


async def test_a_slow_client_loses_previews_first() -> None:
    pipe = Pipe()
    connection = Connection("a", "default", pipe.send)
    connection.put("first")
    for _ in range(200):
        connection.put(bytes(MAX_BYTES // 100), kind="preview")
    connection.put("last")
    frames = [frame.data for frame in connection.outbox.waiting()]
    assert [data for data in frames if isinstance(data, str)] == ["first", "last"]
    assert sum(map(len, frames)) <= MAX_BYTES


async def test_then_states_that_a_later_one_replaces() -> None:
    connection = Connection("a", "default", Pipe().send)
    for number in range(MAX_FRAMES + 1):
        connection.put(f"{number}", kind="state", key="p")
    assert [frame.data for frame in connection.outbox.waiting()] == [str(MAX_FRAMES)]


async def test_then_the_connection_is_closed_with_a_reason() -> None:
    pipe = Pipe()
    connection = Connection("a", "default", pipe.send)
    for number in range(MAX_FRAMES + 1):
        connection.put(f"{number}")
    connection.put("too late")
    await connection.write()
    assert pipe.sent == [{"type": "websocket.close", "code": TOO_SLOW, "reason": "The client reads too slowly."}]
