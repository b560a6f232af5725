from __future__ import annotations

import errno
import json
import logging
import socket
from typing import TYPE_CHECKING

import pytest

from comfykernel_api_http.transport import HttpTransport, bind
from comfykernel_sdk.events import JobQueued
from comfykernel_sdk.jobs import Outcome
from comfykernel_sdk.settings import HttpSettings, Settings
from comfykernel_sdk.transport import PluginInfo

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Serve, Served

HTML = {"Accept": "text/html,application/xhtml+xml"}


def test_a_taken_address_is_said_clearly() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"127.0.0.1:{port} is taken") as error:
            bind(HttpSettings(port=port))
    assert error.value.errno == errno.EADDRINUSE


async def test_several_addresses_share_a_free_port(served: Served) -> None:
    settings = Settings(http=HttpSettings(listen="127.0.0.1, 127.0.0.2", port=0))
    transport = HttpTransport(settings)
    await transport.start(served.kernel)
    first, second = transport.addresses()
    await transport.stop()
    assert first.rpartition(":")[2] == second.rpartition(":")[2] != "0"


async def test_system_stats(served: Served) -> None:
    stats = (await served.http.get("/api/system_stats")).json()
    assert stats["system"]["comfyui_version"] == "0.3.64"
    assert stats["system"]["pytorch_version"] == "2.0"
    assert stats["devices"][0]["index"] is None
    assert stats["devices"][0]["vram_total"] == stats["system"]["ram_total"] > 0
    assert set(stats) == {"system", "devices"}


async def test_system_stats_with_what_workers_keep(served: Served) -> None:
    stats = (await served.http.get("/system_stats?workers=true")).json()
    (worker,) = served.kernel.workers()
    assert [(each["name"], each["cache_bytes"], each["model_bytes"]) for each in stats["workers"]] == [
        (worker.name, worker.cache_bytes, worker.model_bytes)
    ]


async def test_models(served: Served, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "embeddings" / "sub"
    folder.mkdir(parents=True)
    header = json.dumps({"__metadata__": {"format": "pt"}}).encode()
    (folder / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    (folder / "b.safetensors").write_bytes(b"\xff" * 8)
    get = served.http.get
    assert "checkpoints" in (await get("/models")).json()
    assert (await get("/models/embeddings")).json() == ["sub/a.safetensors", "sub/b.safetensors"]
    assert (await get("/embeddings")).json() == ["sub/a", "sub/b"]
    assert (await get("/models/nope")).status_code == 404
    assert (await get("/view_metadata/embeddings?filename=sub/a.safetensors")).json() == {"format": "pt"}
    for path in ("embeddings?filename=sub/b.safetensors", "embeddings?filename=../x.safetensors", "embeddings", "nope"):
        assert (await get(f"/view_metadata/{path}")).status_code == 404
    listed = (await get("/experiment/models/embeddings")).json()
    assert [(file["name"], file["pathIndex"]) for file in listed] == [
        ("sub/a.safetensors", 0),
        ("sub/b.safetensors", 0),
    ]


async def test_the_page_tells_what_is_there(served: Served) -> None:
    served.kernel.plugin_list = [
        PluginInfo(name="bad<b>", kind="nodes", state="failed", error="Traceback\nValueError: <script>"),
    ]
    answer = await served.http.get("/", headers=HTML)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    for part in ("9.9.9", served.address, "cpu-0", "bad&lt;b&gt;", "ValueError: &lt;script&gt;", "/prompt"):
        assert part in answer.text
    assert "<script>" not in answer.text.replace("<script>const", "")
    assert "://" not in answer.text.replace(served.address, ""), "nothing comes from elsewhere"
    assert (await served.http.get("/index.html")).status_code == 200


async def test_errors_are_pages_for_people_and_json_for_programs(served: Served) -> None:
    for path, status in [("/nope", 404), ("/view", 404), ("/api/history/none", 404), ("/models/nope", 404)]:
        page, program = await served.http.get(path, headers=HTML), await served.http.get(path)
        assert page.status_code == program.status_code == status
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert program.json()["error"]["message"] in page.text or "&#x27;" in page.text


async def test_settings(served: Served) -> None:
    for value in ({"deep": [1]}, "text", None, [1], 0):
        assert (await served.http.post("/settings/a.b", content=json.dumps(value))).json() == {}
        answer = await served.http.get("/api/settings/a.b")
        assert (answer.json(), answer.headers["content-type"]) == (value, "application/json; charset=utf-8")
    await served.http.post("/settings", json={"c": 1})
    assert (await served.http.get("/settings")).json() == {"a.b": 0, "c": 1}
    assert (await served.http.post("/settings", json=[1])).status_code == 400
    assert (await served.http.post("/settings/x", content="{")).status_code == 400


async def test_users(serve: Serve) -> None:
    async with serve(multi_user=True) as served:
        ann = (await served.http.post("/users", json={"username": "ann b"})).json()
        assert ann.startswith("ann-b_")
        assert (await served.http.get("/users")).json() == {"storage": "server", "users": {ann: "ann b"}}
        assert (await served.http.post("/users", json={"username": "ann b"})).status_code == 400
        assert (await served.http.post("/users", json={})).status_code == 400
        await served.http.post("/settings/k", json=1, headers={"Comfy-User": ann})
        assert (await served.http.get("/settings/k", headers={"Comfy-User": ann})).json() == 1
        assert (await served.http.get("/settings", headers={"Comfy-User": "nobody"})).status_code == 401
        assert (await served.http.get("/v2/userdata", headers={"Comfy-User": "nobody"})).status_code == 403


async def test_the_page_gets_empty_user_data_where_others_get_404(served: Served) -> None:
    page = {"Comfy-User": ""}
    for path, empty in (
        ("/api/userdata?dir=workflows&full_info=true", b"[]"),
        ("/api/userdata?dir=subgraphs%2F&full_info=true", b"[]"),
        ("/api/userdata/comfy.templates.json", b"[]"),
        ("/api/userdata/user.css", b""),
    ):
        assert (await served.http.get(path)).status_code == 404
        answer = await served.http.get(path, headers=page)
        assert (answer.status_code, answer.content) == (200, empty)
    assert (await served.http.get("/api/userdata?dir=none", headers=page)).status_code == 404
    assert (await served.http.get("/api/userdata/none.json", headers=page)).status_code == 404


async def test_userdata(served: Served) -> None:
    http = served.http
    assert (await http.post("/userdata/w%2Fa.json", content="{}")).json() == "w/a.json"
    assert (await http.post("/userdata/w%2Fsub%2Fb.js?full_info=true", content="x")).json()["path"] == "w/sub/b.js"
    assert (await http.get("/api/userdata/w%252Fa.json")).json() == {}
    script = await http.get("/userdata/w%2Fsub%2Fb.js")
    assert script.headers["content-disposition"] == 'attachment; filename="b.js"'
    await http.post("/userdata/user.css", content="b{}")
    assert (await http.get("/userdata/user.css")).headers["content-type"].startswith("text/css")
    assert (await http.post("/userdata/w%2Fa.json?overwrite=false", content="")).status_code == 409
    assert (await http.get("/userdata?dir=w")).json() == ["a.json"]
    listed = (await http.get("/userdata?dir=w&recurse=true&split=true")).json()
    assert listed == [["a.json", "a.json"], ["sub/b.js", "sub", "b.js"]]
    tree = (await http.get("/v2/userdata?path=w")).json()
    assert [(entry["path"], entry["type"]) for entry in tree] == [
        ("w/sub", "directory"), ("w/a.json", "file"), ("w/sub/b.js", "file"),
    ]  # fmt: skip
    assert (await http.post("/userdata/w%2Fa.json/move/w%2Fc.json")).json() == "w/c.json"
    assert (await http.delete("/userdata/w%2Fc.json")).status_code == 204
    for method, path, status in [
        ("GET", "/userdata/w%2Fc.json", 404), ("GET", "/userdata/..%2Fx", 403), ("GET", "/userdata", 400),
        ("POST", "/userdata/%252e%252e%252fx", 403), ("GET", "/userdata?dir=none", 404),
        ("GET", "/userdata?dir=..", 403),
        ("GET", "/v2/userdata?path=..", 400), ("GET", "/v2/userdata?path=none", 404),
        ("GET", "/v2/userdata?path=user.css", 400), ("POST", "/userdata/w/a.json", 405), ("PUT", "/userdata/a", 405),
    ]:  # fmt: skip
        assert (await http.request(method, path)).status_code == status, (method, path)


async def test_the_log_can_be_read_and_followed(served: Served) -> None:
    logging.getLogger("elsewhere").warning("one line")
    assert "one line" in (await served.http.get("/internal/logs")).json()
    raw = (await served.http.get("/internal/logs/raw")).json()
    assert raw["entries"][-1].keys() == {"t", "m"}
    listener = await served.socket("me")
    await listener.next()
    subscribe = {"clientId": "me", "enabled": True}
    assert (await served.http.patch("/internal/logs/subscribe", json=subscribe)).json() == {}
    logging.getLogger("elsewhere").warning("another line")
    lines = ""
    while "another line" not in lines:  # others may log as well
        lines = "".join(entry["m"] for entry in (await listener.until("logs"))[-1]["data"]["entries"])
    for bad in ("{", "{}", '{"enabled": true}'):
        assert (await served.http.patch("/internal/logs/subscribe", content=bad)).status_code == 400


async def test_internal_lists(served: Served) -> None:
    for name in ("a", "b"):
        await served.http.post("/upload/image", files={"image": (name, name.encode())})
    assert sorted((await served.http.get("/internal/files/input")).json()) == ["a", "b"]
    assert (await served.http.get("/internal/files/models")).status_code == 400
    texts = (await served.http.get("/internal/folder_paths")).json()
    lists = (await served.http.get("/internal/folder_paths", headers={"Comfy-User": ""})).json()
    assert {name: ":".join(places) for name, places in lists.items()} == texts


async def test_jobs_in_all_states(served: Served) -> None:
    picture = {"filename": "a.png", "subfolder": "", "type": "output"}
    outputs = {"1": {"text": ["hi"]}, "2": {"images": [{**picture, "type": "temp"}, picture], "animated": [True]}}
    for id, outcome in [("done", Outcome(status="done", outputs=outputs)), ("bad", Outcome(status="failed"))]:
        await served.submit(id)
        served.kernel.end(id, outcome)
    await served.submit("waits", extra_data={"extra_pnginfo": {"workflow": {"id": "w"}}})
    everything = (await served.http.get("/api/jobs")).json()
    assert {job["id"]: job["status"] for job in everything["jobs"]} == {
        "waits": "pending", "bad": "failed", "done": "completed",
    }  # fmt: skip
    ended = (await served.http.get("/api/jobs?status=completed,failed,cancelled&limit=1&offset=1")).json()
    assert [job["id"] for job in ended["jobs"]] == ["done"]
    assert ended["pagination"] == {"offset": 1, "limit": 1, "total": 2, "has_more": False}
    assert ended["jobs"][0]["preview_output"] == {"nodeId": "2", "mediaType": "images", **picture}
    assert ended["jobs"][0]["outputs_count"] == 3
    of_workflow = (await served.http.get("/jobs?workflow_id=w&status=pending")).json()
    assert [job["workflow_id"] for job in of_workflow["jobs"]] == ["w"]
    assert (await served.http.get("/jobs/done")).json()["outputs"] == outputs
    assert (await served.http.get("/jobs/none")).status_code == 404
    assert (await served.http.get("/jobs?status=odd")).status_code == 400
    assert (await served.http.post("/jobs/waits/cancel")).json() == {"cancelled": True}
    assert (await served.http.post("/jobs/waits/cancel")).json() == {"cancelled": False}
    assert (await served.http.post("/jobs/cancel", json={"job_ids": ["x"]})).json() == {"cancelled": False}
    assert (await served.http.post("/jobs/cancel", json={"job_ids": "x"})).status_code == 400


async def test_events_of_a_job_can_be_replayed(served: Served) -> None:
    await served.submit("p")
    served.kernel.publish(JobQueued(prompt_id="p", number=1.0))
    served.kernel.start("p")
    served.kernel.end("p")
    answer = await served.http.get("/api/jobs/p/events?since=1")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [dict(line.split(": ", 1) for line in event.splitlines()) for event in answer.text.split("\n\n") if event]
    assert [(event["id"], event["event"]) for event in events] == [("2", "execution_start"), ("3", "job_finished")]
    assert json.loads(events[0]["data"])["prompt_id"] == "p"
    assert (await served.http.get("/api/jobs/none/events")).status_code == 404
