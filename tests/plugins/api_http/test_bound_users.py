"""Callers whose tokens bind them to users: nobody sees, follows, stops or replaces what another one has submitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import InvalidStatus

from comfykernel_api_http.tokens import TokenFile
from comfykernel_sdk.events import NodeMessage, NodeOutput, NodePlace, NodePreview, NodeProgress, NodeStarted, NodeText
from comfykernel_sdk.storage import FileRef

from .conftest import GRAPH, Listener, Served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx

    from .conftest import Serve

ONE = NodePlace("1", "1")


class Caller:
    """Somebody with a token."""

    def __init__(self, served: Served, secret: str) -> None:
        self._served = served
        self.headers = {"Authorization": f"Bearer {secret}"}

    async def ask(self, method: str, url: str, **more: Any) -> httpx.Response:
        return await self._served.http.request(method, url, headers={**self.headers, **more.pop("headers", {})}, **more)

    async def get(self, url: str) -> Any:
        answer = await self.ask("GET", url)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, url: str, body: Any) -> Any:
        answer = await self.ask("POST", url, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def submit(self, prompt_id: str, **more: Any) -> httpx.Response:
        return await self.ask("POST", "/prompt", json={"prompt": GRAPH, "prompt_id": prompt_id, **more})

    async def listen(self, sid: str) -> Listener:
        listener = await self._served.socket(sid, additional_headers=self.headers)
        assert (await listener.next())["type"] == "status"
        return listener


class House:
    """A server of several users, and two of them."""

    def __init__(self, served: Served, ann: Caller, eve: Caller) -> None:
        self.kernel, self.http, self.ann, self.eve = served.kernel, served.http, ann, eve


@pytest.fixture
async def house(serve: Serve, tmp_path: Path) -> AsyncIterator[House]:
    """Ann has a job that runs (``runs``), one that waits (``waits``) and one that has ended (``ended``)."""
    file = TokenFile(tmp_path / "user" / "comfykernel")
    secrets = [file.create(user=name, label="")[0] for name in ("Ann", "Eve")]
    async with serve(multi_user=True) as served:
        house = House(served, *(Caller(served, secret) for secret in secrets))
        for id in ("ended", "runs", "waits"):
            assert (await house.ann.submit(id, client_id="ann")).status_code == 200
        served.kernel.start("ended")
        served.kernel.end("ended")
        served.kernel.start("runs")
        yield house


async def test_lists_hold_the_callers_own(house: House) -> None:
    for path in ("/queue", "/api/queue"):
        assert await house.eve.get(path) == {"queue_running": [], "queue_pending": []}
        queue = await house.ann.get(path)
        assert [item[1] for item in queue["queue_running"] + queue["queue_pending"]] == ["runs", "waits"]
    assert list(await house.ann.get("/history")) == ["ended"]
    assert [item["prompt_id"] for item in await house.ann.get("/api/history?max_items=5")] == ["ended"]
    for path, nothing in (
        ("/history", {}),
        ("/api/history", []),
        ("/history?max_items=5", {}),
        ("/history?offset=0", {}),
    ):
        assert await house.eve.get(path) == nothing
    assert [job["id"] for job in (await house.ann.get("/jobs?limit=9"))["jobs"]] == ["waits", "runs", "ended"]
    for path in ("/jobs", "/api/jobs?limit=9", "/jobs?status=completed", "/jobs?status=pending,in_progress"):
        page = await house.eve.get(path)
        assert (page["jobs"], page["pagination"]["total"]) == ([], 0)


async def test_one_job_is_its_owners(house: House) -> None:
    for id in ("ended", "runs", "waits"):
        assert (await house.ann.get(f"/jobs/{id}"))["id"] == id
        for path in (f"/jobs/{id}", f"/jobs/{id}/assets", f"/api/jobs/{id}/events"):
            refused = await house.eve.ask("GET", path)
            assert (refused.status_code, refused.json()["error"]["type"]) == (404, "unknown_job")
    assert await house.eve.get("/history/ended") == {}
    assert (await house.eve.ask("GET", "/api/history/ended")).status_code == 404
    assert (await house.ann.ask("GET", "/api/history/ended")).status_code == 200
    assert "event: job_finished" in (await house.ann.ask("GET", "/jobs/ended/events")).text


async def test_only_the_owner_stops_and_forgets(house: House) -> None:
    eve = house.eve
    for body in ({}, {"prompt_id": "runs"}):
        await eve.post("/interrupt", body)
    for id in ("runs", "waits"):
        assert await eve.post(f"/jobs/{id}/cancel", None) == {"cancelled": False}
    assert await eve.post("/jobs/cancel", {"job_ids": ["runs", "waits"]}) == {"cancelled": False}
    for path, id in (("/queue", "waits"), ("/history", "ended")):
        await eve.post(path, {"clear": True, "delete": [id]})
    assert (sorted(house.kernel.jobs), house.kernel.cancelled) == (["ended", "runs", "waits"], [])
    await house.ann.post("/interrupt", {})
    assert house.kernel.cancelled == ["runs"]
    await house.ann.post("/queue", {"delete": ["waits"]})
    await house.ann.post("/history", {"clear": True})
    assert list(house.kernel.jobs) == ["runs"]


async def test_nobody_takes_the_place_of_anothers_job(house: House) -> None:
    for id in ("ended", "runs", "waits"):
        assert (await house.eve.submit(id)).status_code == 409
    assert (await house.ann.submit("ended")).status_code == 200
    assert {job.user for job in house.kernel.jobs.values()} == {house.kernel.jobs["runs"].user}


async def test_messages_of_a_prompt_reach_its_owner_only(house: House) -> None:
    # Eve connected first under the id that Ann's prompts name.
    thief, ann = await house.eve.listen("ann"), await house.ann.listen("other")
    assert (await house.ann.submit("free")).status_code == 200
    house.kernel.start("free")
    for id in ("runs", "free"):
        for event in (
            NodeStarted(prompt_id=id, place=ONE),
            NodeProgress(prompt_id=id, place=ONE, value=1, max=2, state="running", announce="progress"),
            NodePreview(prompt_id=id, place=ONE, image=b"secret", format="JPEG"),
            NodeText(prompt_id=id, node_id="1", text="secret", broadcast=True),
            NodeMessage(prompt_id=id, event="pack.thing", data="secret"),
        ):
            house.kernel.publish(event)
    assert {message["type"] for message in await thief.quiet()} <= {"status"}
    told = await ann.quiet()
    # Of Ann's own prompt without a client she sees the progress, as everybody does where there are no bound users.
    assert any(isinstance(message, bytes) and b"secret" in message for message in told)
    assert {"progress", "pack.thing"} <= {message["type"] for message in told if not isinstance(message, bytes)}


async def test_who_comes_back_under_anothers_id_is_told_nothing(house: House) -> None:
    house.kernel.publish(NodeStarted(prompt_id="runs", place=ONE))
    thief = await house.eve.listen("ann")
    assert await thief.quiet() == []


async def test_a_client_id_in_use_belongs_to_its_user(house: House) -> None:
    await house.ann.listen("mine")
    with pytest.raises(InvalidStatus) as refusal:
        await house.eve.listen("mine")
    assert refusal.value.response.status_code == 403
    assert b"client_taken" in (refusal.value.response.body or b"")
    assert (await house.eve.submit("p", client_id="mine")).status_code == 403
    for client, status in (("mine", 403), ("nobody", 200)):
        body = {"clientId": client, "enabled": True}
        assert (await house.eve.ask("PATCH", "/internal/logs/subscribe", json=body)).status_code == status
    body = {"clientId": "mine", "enabled": True}
    assert (await house.ann.ask("PATCH", "/internal/logs/subscribe", json=body)).status_code == 200


async def test_the_log_tells_others_only_that_a_prompt_was_refused(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert (await house.ann.ask("POST", "/prompt", json={"prompt": {}})).status_code == 400
    lines = (await house.eve.ask("GET", "/internal/logs")).text
    assert "A prompt was refused: prompt_no_outputs" in lines


async def test_users_are_made_for_tokens_and_see_themselves(house: House) -> None:
    await house.eve.get("/settings")
    users = house.kernel.users.users()
    assert sorted(users.values()) == ["Ann", "Eve"]
    ids = {name: id for id, name in users.items()}
    assert (await house.ann.get("/users"))["users"] == {ids["Ann"]: "Ann"}
    assert (await house.eve.ask("POST", "/users", json={"username": "Mallory"})).status_code == 403
    written = await house.ann.ask("POST", "/userdata/a.json", content=b"{}", headers={"Comfy-User": ids["Eve"]})
    assert written.status_code == 200
    for headers in ({}, {"Comfy-User": ids["Ann"]}):
        assert (await house.eve.ask("GET", "/userdata/a.json", headers=headers)).status_code == 404
    assert house.kernel.users.read(ids["Ann"], "a.json") == b"{}"


async def test_without_tokens_users_share_all_but_their_files(serve: Serve) -> None:
    async with serve(multi_user=True) as served:
        ids = {name: served.kernel.users.add_user(name) for name in ("Ann", "Eve")}
        ann, eve = ({"Comfy-User": ids[name]} for name in ("Ann", "Eve"))
        assert (
            await served.http.post("/prompt", json={"prompt": GRAPH, "prompt_id": "p"}, headers=ann)
        ).status_code == 200
        assert [item[1] for item in (await served.http.get("/queue", headers=eve)).json()["queue_pending"]] == ["p"]
        assert (await served.http.get("/jobs/p", headers=eve)).status_code == 200
        # A browser can't name its user when it opens a socket.
        browser = await served.socket("page")
        await browser.next()
        named = await served.socket("named", additional_headers=ann)
        await named.next()
        for client, headers, status in (("page", ann, 200), ("named", ann, 200), ("named", eve, 403)):
            body = {"clientId": client, "enabled": True}
            answer = await served.http.patch("/internal/logs/subscribe", json=body, headers=headers)
            assert answer.status_code == status, client
        assert (await served.http.post("/queue", json={"clear": True}, headers=eve)).status_code == 200
        assert served.kernel.jobs == {}


async def test_a_server_of_one_user_is_the_same_for_all_tokens(serve: Serve, tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "user" / "comfykernel")
    ann, eve = (file.create(user=name, label="")[0] for name in ("Ann", "Eve"))
    async with serve() as served:
        assert (await Caller(served, ann).submit("p")).status_code == 200
        queue = await Caller(served, eve).get("/queue")
        assert [item[1] for item in queue["queue_pending"]] == ["p"]
        assert served.kernel.jobs["p"].user == "default"


PICTURE = [{"filename": "a_00001_.png", "subfolder": "sub", "type": "output"}]


async def upload(caller: Caller, name: str, data: bytes, **fields: str) -> Any:
    answer = await caller.ask("POST", "/upload/image", files={"image": (name, data)}, data=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_what_a_job_shows_is_its_users(house: House) -> None:
    files = house.kernel.files
    for name in ("a_00001_.png", "everybodys.png"):
        files.write(FileRef(name, "sub", "output"), b"data")
    house.kernel.publish(NodeOutput(prompt_id="runs", place=ONE, output={"images": PICTURE, "animated": [True]}))
    mine, all = "/view?filename=a_00001_.png&subfolder=sub", "/view?filename=everybodys.png&subfolder=sub"
    await house.ann.get("/prompt")
    assert (await house.ann.ask("GET", mine)).status_code == 200
    aliases = ("sub/../sub", "./sub", "sub//", "sub/", "\\sub")
    for path in (mine, mine + "&preview=webp", *(f"/view?filename=a_00001_.png&subfolder={each}" for each in aliases)):
        assert (await house.eve.ask("GET", path)).status_code in (403, 404), path
    assert (await house.eve.ask("GET", all)).status_code == 200
    for reference in ("sub/a_00001_.png [output]", "sub\\a_00001_.png [output]", "sub/a_00001_.png"):
        graph = {"1": {"class_type": "LoadImage", "inputs": {"image": reference}}}
        refused = await house.eve.ask("POST", "/prompt", json={"prompt": graph})
        assert (refused.status_code, refused.json()["error"]["type"]) == (403, "foreign_file")
        assert (await house.ann.ask("POST", "/prompt", json={"prompt": graph})).status_code == 200


async def test_what_a_user_uploads_is_theirs(house: House) -> None:
    assert await upload(house.ann, "a.png", b"of Ann") == {"name": "a.png", "subfolder": "", "type": "input"}
    assert (await upload(house.eve, "a.png", b"of Eve", overwrite="true"))["name"] == "a (1).png"
    assert (await upload(house.ann, "a.png", b"new", overwrite="true"))["name"] == "a.png"
    for caller, name, found in ((house.ann, "a.png", b"new"), (house.eve, "a (1).png", b"of Eve")):
        assert (await caller.ask("GET", f"/view?filename={name}&type=input")).content == found
        assert await caller.get("/internal/files/input") == [name]
    for caller, name in ((house.eve, "a.png"), (house.ann, "a (1).png")):
        assert (await caller.ask("GET", f"/view?filename={name} [input]")).status_code == 404
        reference = {"original_ref": f'{{"filename": "{name}", "type": "input"}}'}
        files = {"image": ("mask.png", b"data")}
        assert (await caller.ask("POST", "/upload/mask", files=files, data=reference)).status_code == 400
    # Who has the same file anyway may share it.
    assert (await upload(house.eve, "a.png", b"new"))["name"] == "a.png"
    assert (await house.eve.ask("GET", "/view?filename=a.png&type=input")).content == b"new"


async def test_owners_are_known_after_a_restart(serve: Serve, tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "user" / "comfykernel")
    secrets = [file.create(user=name, label="")[0] for name in ("Ann", "Eve")]
    for start in range(2):
        async with serve(multi_user=True) as served:
            ann, eve = (Caller(served, secret) for secret in secrets)
            if start == 0:
                await upload(ann, "a.png", b"of Ann", subfolder="b")
            assert (await eve.ask("GET", "/view?filename=a.png&type=input&subfolder=b")).status_code == 404
            assert (await ann.ask("GET", "/view?filename=a.png&type=input&subfolder=b")).status_code == 200
