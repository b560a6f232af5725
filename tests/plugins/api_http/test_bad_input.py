"""Bad input at every door: a status from 400 on with a body that says why; nothing is written, the server goes on."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlsplit

import pytest
from websockets.exceptions import ConnectionClosed

from comfykernel_api_http import guarded_protocol

from .conftest import GRAPH, Served, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

LONG = "a" * 5_000
BAD_PATHS = {
    "nul": "a\0b.png",
    "newline": "a\nb.png",
    "absolute": "/etc/passwd",
    "drive": "C:\\windows\\win.ini",
    "share": "\\\\host\\share\\a.png",
    "up": "../secret.txt",
    "up after a folder": "sub/../../secret.txt",
    "up with backslashes": "..\\secret.txt",
    "up encoded twice": "%2e%2e%2fsecret.txt",
    "two-dot leader": "\u2025/secret.txt",
    "full-width dots": "\uff0e\uff0e/secret.txt",
    "full-width slash": "..\uff0fsecret.txt",
    "full-width backslash": "..\uff3csecret.txt",
    "long name": "a" * 256 + ".png",
    "long path": "/".join(["abcdefghi"] * 200),
    "very long": LONG,
    "half a pair": "a\udc80b.png",
    "link to a file": "link.png",
    "link to a folder": "links/secret.txt",
}
"""What no file may be called. The links lead out of the folders that they lie in."""

HARMLESS = {"image": {"drive", "share", "up encoded twice"}, "subfolder": {"up encoded twice"}}
"""What fields of an upload may hold after all: nothing decodes them, and of a path of Windows the last part counts."""


class Door(NamedTuple):
    """A place where a path comes in. ``{}`` stands for it, encoded; a form has it in a field or as a file's name."""

    method: str
    url: str
    form: str = ""


DOORS = [
    Door("GET", "/view?filename={}"),
    Door("GET", "/view?filename=a.png&subfolder={}"),
    Door("GET", "/view?filename={}&type=input&preview=webp"),
    Door("GET", "/view?filename={}&channel=rgb"),
    Door("GET", "/view?filename=a.png&type={}"),
    Door("GET", "/view_metadata/checkpoints?filename={}.safetensors"),
    Door("GET", "/view_metadata/{}?filename=a.safetensors"),
    Door("GET", "/models/{}"),
    Door("GET", "/experiment/models/{}"),
    Door("GET", "/experiment/models/preview/checkpoints/0/{}"),
    Door("GET", "/experiment/models/preview/{}/0/a"),
    Door("GET", "/experiment/models/preview/checkpoints/{}/a"),
    Door("GET", "/userdata?dir={}"),
    Door("GET", "/v2/userdata?path={}"),
    Door("GET", "/userdata/{}"),
    Door("POST", "/userdata/{}"),
    Door("DELETE", "/userdata/{}"),
    Door("POST", "/userdata/{}/move/new.txt"),
    Door("POST", "/userdata/known.txt/move/{}"),
    Door("GET", "/internal/files/{}"),
    Door("GET", "/api/jobs/{}"),
    Door("GET", "/api/jobs/{}/events"),
    Door("GET", "/api/history/{}"),
    Door("POST", "/upload/image", "image"),
    Door("POST", "/upload/image", "subfolder"),
    Door("POST", "/upload/image", "type"),
    Door("POST", "/upload/mask", "original_ref"),
]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Served]:
    """A server with a secret beside its folders and links that lead to it."""
    (tmp_path / "secret.txt").write_text("secret")
    base = tmp_path / "base"
    for folder in ("input", "output", "temp", "user/default", "models/checkpoints"):
        place = base / folder
        place.mkdir(parents=True)
        (place / "link.png").symlink_to(tmp_path / "secret.txt")
        (place / "links").symlink_to(tmp_path)
    (base / "user/default/known.txt").write_text("known")
    async with serving(base) as served:
        yield served
        assert (await served.http.get("/prompt")).status_code == 200


def tree(served: Served) -> dict[str, bytes]:
    """All files of the server and around it."""
    root = Path(served.kernel.settings.paths.base).parent
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and not path.is_symlink()]
    return {str(path): path.read_bytes() for path in files if not path.name.endswith(".lock")}


async def knock(served: Served, door: Door, text: str) -> httpx.Response:
    encoded = quote(text.encode("utf-8", "surrogateescape"), safe="")
    if door.method == "POST" and door.form:
        body = form_of(door.form, text.encode("utf-8", "surrogateescape"))
        return await served.http.post(door.url, content=body, headers=FORM)
    content = b"written" if door.method == "POST" else None
    return await served.http.request(door.method, door.url.replace("{}", encoded), content=content)


FORM = {"Content-Type": "multipart/form-data; boundary=X"}


def part(name: str, data: bytes, *, filename: bytes | None = None) -> bytes:
    more = b"" if filename is None else b'; filename="%s"' % filename
    return b'--X\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (name.encode(), more, data)


def form_of(field: str, text: bytes) -> bytes:
    if field == "image":
        return part("image", b"data", filename=text.replace(b"\\", b"\\\\")) + b"--X--\r\n"
    if field == "original_ref":
        text = json.dumps({"filename": text.decode("utf-8", "surrogateescape"), "type": "input"}).encode()
    return part("image", b"data", filename=b"a.png") + part(field, text) + b"--X--\r\n"


def assert_told(answer: httpx.Response, *about: object) -> str:
    """It is refused with a body that says why; returns the type of the error."""
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.content[:200], *about)
    error = answer.json()["error"]
    assert error["message"]
    assert answer.json()["node_errors"] == {}
    return str(error["type"])


@pytest.mark.parametrize("door", DOORS, ids=lambda door: f"{door.method} {door.url} {door.form}".rstrip())
async def test_bad_paths(house: Served, door: Door) -> None:
    before = tree(house)
    for name, text in BAD_PATHS.items():
        if name in HARMLESS.get(door.form, ()):
            continue
        assert_told(await knock(house, door, text), name)
        assert tree(house) == before, name


async def test_uploads_of_odd_names_stay_inside(house: Served) -> None:
    root = Path(house.kernel.files.folder("input"))
    for form, names in HARMLESS.items():
        for name in sorted(names):
            stored = (await knock(house, Door("POST", "/upload/image", form), BAD_PATHS[name])).json()
            path = root / stored["subfolder"] / stored["name"]
            assert path.resolve().is_relative_to(root.resolve())
            assert path.read_bytes() == b"data"
            path.unlink()


@pytest.mark.parametrize("header", ["../default", "", "a" * 5_000, "\xff", "default/../default"])
async def test_users_that_are_none(tmp_path: Path, header: str) -> None:
    async with serving(tmp_path / "base", multi_user=True) as served:
        for method, url in (
            ("GET", "/settings"),
            ("POST", "/settings"),
            ("GET", "/v2/userdata"),
            ("POST", "/userdata/a"),
        ):
            headers = [(b"Comfy-User", header.encode("latin-1"))]
            assert_told(await served.http.request(method, url, headers=headers, content=b"{}"))
        assert tree(served) == {}


BODIES = {
    "null": b"null",
    "number": b"1",
    "text": b'"a"',
    "list": b"[{}]",
    "no JSON": b"{",
    "no UTF-8": b'{"a": "\xff"}',
    "nul": b"\0",
    "half a pair": b'{"a": "\\ud800"}',
    "10 MB of opened lists": b"[" * 10_000_000,
    "10 MB of lists in lists": b"[" * 5_000_000 + b"]" * 5_000_000,
    "10 MB of lists in a list": b"[" + b"[]," * 3_300_000 + b"[]]",
    "10 MB of objects in objects": b'{"a":' * 2_000_000,
    "deep inside": b'{"prompt":' + b'{"a":' * 300 + b"1" + b"}" * 301,
    "endless number": b'{"number": ' + b"1" * 100_000 + b"}",
}
OBJECT_DOORS = [
    ("POST", "/prompt"), ("POST", "/queue"), ("POST", "/history"), ("POST", "/free"), ("POST", "/settings"),
    ("POST", "/users"), ("POST", "/jobs/cancel"), ("PATCH", "/internal/logs/subscribe"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "url"), OBJECT_DOORS)
async def test_bodies_that_are_no_object(house: Served, method: str, url: str) -> None:
    before = tree(house)
    for name, body in BODIES.items():
        assert_told(await house.http.request(method, url, content=body), name)
    assert_told(await house.http.request(method, url))
    assert (tree(house), house.kernel.jobs, house.kernel.freed) == (before, {}, [])


async def test_an_interrupt_needs_no_body_but_takes_no_flood(house: Served) -> None:
    for name in ("10 MB of lists in a list", "10 MB of lists in lists", "list", "null"):
        assert_told(await house.http.post("/interrupt", content=BODIES[name]), name)
    assert (await house.http.post("/interrupt", content=b"{")).status_code == 200
    assert house.kernel.interrupted == [None]


MEMBERS: dict[str, dict[str, list[Any]]] = {
    "/prompt": {
        "prompt": [None, 1, "a", [], [GRAPH], {"1": None}, {"1": 1}, {"1": "a"}, {"1": []}],
        "extra_data": [1, "a", []],
        "prompt_id": [{}, [], "a" * 1_001],
        "number": ["a", [], {}, "nan", 1e999],
        "partial_execution_targets": [1, True],
    },
    "/queue": {"delete": [1, True, None, {}]},
    "/history": {"delete": [1, True, None, {}]},
    "/users": {"username": [None, 1, [], {}, "", " "]},
    "/jobs/cancel": {"job_ids": [None, 1, "a", {}, [1], [None], [[]]]},
}


@pytest.mark.parametrize("url", MEMBERS)
async def test_members_of_wrong_types(house: Served, url: str) -> None:
    before = tree(house)
    for member, values in MEMBERS[url].items():
        for value in values:
            body = {**({"prompt": GRAPH} if url == "/prompt" else {}), member: value}
            assert_told(await house.http.post(url, content=json.dumps(body)), member, value)
    assert (tree(house), house.kernel.jobs) == (before, {})


NUMBERS = ["/history?max_items=a", "/history?offset=1.5", "/jobs?limit=a", "/jobs?offset=[]", "/jobs?status=odd"]


@pytest.mark.parametrize("url", [*NUMBERS, "/jobs/a/events?since=x", "/history?max_items=%ff"])
async def test_parameters_that_are_none(house: Served, url: str) -> None:
    assert_told(await house.http.get(url))


IMAGE = part("image", b"data", filename=b"a.png")
FORMS = {
    "empty": b"",
    "no part": b"--X--\r\n",
    "no file": part("type", b"input") + b"--X--\r\n",
    "a field instead": part("image", b"data") + b"--X--\r\n",
    "file without a name": part("image", b"data", filename=b"") + b"--X--\r\n",
    "file of another name": part("picture", b"data", filename=b"a.png") + b"--X--\r\n",
    "cut off in the data": IMAGE[:-4],
    "cut off before the end": IMAGE,
    "cut off in the headers": b"--X\r\nContent-Disposition: form",
    "other boundary": IMAGE.replace(b"--X", b"--Y") + b"--Y--\r\n",
    "garbage": bytes(range(256)) * 16,
    "101 parts": part("a", b"") * 101 + IMAGE + b"--X--\r\n",
    "a long field": part("type", b"i" * (1024 * 1024 + 1)) + IMAGE + b"--X--\r\n",
    "field that is no text": part("subfolder", b"\xff") + IMAGE + b"--X--\r\n",
    "nested lists as the original": IMAGE + part("original_ref", b"[" * 900_000) + b"--X--\r\n",
}


@pytest.mark.parametrize("url", ["/upload/image", "/upload/mask"])
async def test_forms(house: Served, url: str) -> None:
    before = tree(house)
    for name, body in FORMS.items():
        if (url, name) != ("/upload/image", "nested lists as the original"):  # which this one does not read
            assert_told(await house.http.post(url, content=body, headers=FORM), name)
    for kind in (
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=X",
    ):
        assert_told(await house.http.post(url, content=IMAGE + b"--X--\r\n", headers={"Content-Type": kind}), kind)
    assert tree(house) == before


async def test_of_two_files_the_first_counts(house: Served) -> None:
    body = IMAGE + part("image", b"other", filename=b"b.png") + b"--X--\r\n"
    before = tree(house)
    stored = (await house.http.post("/upload/image", content=body, headers=FORM)).json()
    assert stored["name"] == "a.png"
    assert [Path(path).name for path in tree(house) if path not in before] == ["a.png"]


async def test_a_client_that_hangs_up_in_the_middle_leaves_nothing(house: Served) -> None:
    before = tree(house)
    for url in ("/upload/image", "/prompt", "/userdata/a.txt"):
        where = urlsplit(house.address)
        _, writer = await asyncio.open_connection(where.hostname, where.port)
        head = (
            f"POST {url} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM['Content-Type']}\r\nContent-Length: 999\r\n"
        )
        writer.write(head.encode() + b"\r\n" + IMAGE)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    assert (await house.http.get("/prompt")).status_code == 200
    assert (tree(house), house.kernel.jobs) == (before, {})


GARBAGE: dict[str, str | bytes] = {
    "no JSON": "{",
    "nul": "\0",
    "number": "1",
    "list": "[]",
    "data of a wrong type": '{"type": "feature_flags", "data": [1]}',
    "type of a wrong type": '{"type": {}, "data": {}}',
    "nested": "[" * 900_000,
    "binary": b"\xff" * 1_000,
}


async def test_sockets_take_garbage(house: Served) -> None:
    for name, frame in GARBAGE.items():
        sid = name.replace(" ", "-")
        listener = await house.socket(sid)
        assert (await listener.next())["type"] == "status"
        await listener.link.send(frame)
        await house.submit(name, client_id=sid)
        assert (await listener.until("status"))[-1]["type"] == "status", name


@pytest.mark.parametrize("frame", ["a" * 10_000_000, b"a" * 10_000_000])
async def test_large_frames_close_their_socket_only(house: Served, frame: str | bytes) -> None:
    other, listener = await house.socket("other"), await house.socket("large")
    await other.next()
    with contextlib.suppress(ConnectionClosed):
        await listener.link.send(frame)
    await asyncio.wait_for(listener.link.wait_closed(), 10)
    assert listener.link.close_code in (1006, 1009)
    await house.submit("p", client_id="other")
    assert (await other.next())["type"] == "status"


RAW_FRAMES = {
    "no mask": b"\x81\x01a",
    "unknown kind": b"\x83\x80\0\0\0\0",
    "text that is no UTF-8": b"\x81\x81\0\0\0\0\xff",
    "endless": b"\x81\xff" + b"\x7f" * 8,
    "continuation of nothing": b"\x80\x81\0\0\0\0a",
    "endless fragments": b"\x01\xfe\xff\xff\0\0\0\0"
    + b"a" * 65_535
    + (b"\x00\xfe\xff\xff\0\0\0\0" + b"a" * 65_535) * 20,
    "no frame": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("name", RAW_FRAMES)
async def test_frames_that_are_none_end_their_connection(house: Served, name: str) -> None:
    where = urlsplit(house.address)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    writer.write(f"GET /ws HTTP/1.1\r\nHost: {where.netloc}\r\n{upgrade}{key}\r\n".encode())
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
    writer.write(RAW_FRAMES[name])
    with contextlib.suppress(ConnectionError):
        await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert (await house.http.get("/prompt")).status_code == 200


HEADS = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100, 400),
    "no method": (b"FETCH /prompt HTTP/1.1\r\n\r\n", 400),
    "a negative length": (b"POST /prompt HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 400),
    "two lengths": (b"POST /prompt HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "no chunk": (b"POST /settings HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", 400),
    "an endless header": (b"GET /prompt HTTP/1.1\r\nX: " + b"a" * 300_000, 431),
    "an endless address": (b"GET /" + b"a" * 300_000, 431),
    "endless headers": (b"GET /prompt HTTP/1.1\r\n" + b"X: a\r\n" * 50_000, 431),
    "too much, told before": (
        b"POST /prompt HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 999999999999\r\n\r\n",
        413,
    ),
}


@pytest.mark.parametrize("name", HEADS)
async def test_heads_that_are_none(house: Served, name: str) -> None:
    head, status = HEADS[name]
    where = urlsplit(house.address)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    with contextlib.suppress(ConnectionError):
        for start in range(0, len(head), 10_000):
            writer.write(head[start : start + 10_000])
            await writer.drain()
            await asyncio.sleep(0)
    told = await asyncio.wait_for(reader.readuntil(b'"node_errors":{}}'), 10)
    assert told.startswith(b"HTTP/1.1 %d " % status)
    assert json.loads(told.partition(b"\r\n\r\n")[2])["error"]["message"]
    writer.close()


async def test_a_head_that_does_not_come_is_not_waited_for(house: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded_protocol, "HEAD_S", 0.2)
    where = urlsplit(house.address)
    for beginning in (b"", b"GET /prompt HTTP/1.1\r\nX: ", b"GET /prompt HTTP/1.1\r\nHost: localhost\r\n\r\nGET"):
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(beginning)
        told = await asyncio.wait_for(reader.read(-1), 10)
        assert told.startswith(b"HTTP/1.1 200") == beginning.endswith(b"GET")
        writer.close()
