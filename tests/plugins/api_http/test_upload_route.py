from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykernel_api_http.handlers.image import split_kind
from comfykernel_sdk.storage import FileRef

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from .conftest import Serve, Served


async def upload(served: Served, name: str, data: bytes, **fields: str) -> httpx.Response:
    return await served.http.post("/upload/image", data=fields, files={"image": (name, data)})


def names(served: Served, kind: Any = "input") -> list[str]:
    return sorted(info.ref.filename for info in served.kernel.files.list(kind, recursive=True))


async def test_a_file_is_stored(served: Served) -> None:
    answer = await upload(served, "a ä.png", b"1")
    assert answer.json() == {"name": "a ä.png", "subfolder": "", "type": "input"}
    assert names(served) == ["a ä.png"]


async def test_a_name_that_is_taken_gives_a_new_one(served: Served) -> None:
    for data, name in [(b"1", "a.tar.gz"), (b"1", "a.tar.gz"), (b"2", "a.tar (1).gz"), (b"3", "a.tar (2).gz")]:
        assert (await upload(served, "a.tar.gz", data)).json()["name"] == name


@pytest.mark.parametrize(("overwrite", "name"), [("true", "a"), ("1", "a"), ("True", "a (1)"), ("false", "a (1)")])
async def test_overwrite(served: Served, overwrite: str, name: str) -> None:
    await upload(served, "a", b"1")
    assert (await upload(served, "a", b"2", overwrite=overwrite)).json()["name"] == name


async def test_type_and_subfolder(served: Served) -> None:
    answer = await upload(served, "a", b"1", type="temp", subfolder="deep/../other")
    assert answer.json() == {"name": "a", "subfolder": "deep/../other", "type": "temp"}
    assert names(served, "temp") == ["a"]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("../../a", {}),
        ("/etc/a", {}),
        ("a", {"subfolder": ".."}),
        ("a", {"subfolder": "/etc"}),
        ("a", {"type": "models"}),
        ("a", {"type": ""}),
    ],
)
async def test_places_that_are_refused(served: Served, name: str, fields: dict[str, str]) -> None:
    answer = await upload(served, name, b"1", **fields)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"]
    assert names(served) == names(served, "output") == []


def form(*parts: tuple[str, bytes], end: bytes = b"--X--\r\n") -> bytes:
    body = b"".join(
        b"--X\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (disposition.encode(), data)
        for disposition, data in parts
    )
    return body + end


async def post(served: Served, content: bytes | AsyncIterator[bytes]) -> httpx.Response:
    headers = {"Content-Type": "multipart/form-data; boundary=X"}
    return await served.http.post("/upload/image", content=content, headers=headers)


async def test_of_two_files_the_first_counts_and_other_fields_are_ignored(served: Served) -> None:
    file = 'name="image"; filename="%s"'
    answer = await post(served, form((file % "a", b"1"), (file % "b", b"2"), ('name="more"', b"x")))
    assert answer.json()["name"] == "a"
    assert names(served) == ["a"]


async def test_the_body_may_come_in_pieces(served: Served) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for byte in form(('name="image"; filename="a"', bytes(range(256)))):
            yield bytes([byte])

    assert (await post(served, pieces())).status_code == 200
    with served.kernel.files.open(FileRef("a", type="input")) as stream:
        assert stream.read() == bytes(range(256))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--X--\r\n",
        b"no form",
        form(('name="image"; filename="a"', b"1"), end=b""),
        form(('name="image"; filename="a"', b"1"), end=b"--X"),
        form(('name="image"; filename=""', b"1")),
        form(('name="image"', b"1")),
        form(('name="other"; filename="a"', b"1")),
        form(*[('name="x"', b"1")] * 200),
    ],
)
async def test_a_form_that_is_damaged_or_cut_writes_nothing(served: Served, body: bytes) -> None:
    answer = await post(served, body)
    assert answer.status_code == 400
    assert names(served) == []


async def test_what_is_no_form(served: Served) -> None:
    assert (await served.http.post("/upload/image", json={"image": "x"})).status_code == 400
    assert (await served.http.post("/upload/image")).status_code == 400


async def test_a_client_that_hangs_up_leaves_nothing(served: Served) -> None:
    host, port = served.address.removeprefix("http://").split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    body = form(('name="image"; filename="a"', b"1" * 1000))
    head = b"POST /upload/image HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=X\r\n"
    writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body[:500])
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    await served.http.get("/prompt")
    assert names(served) == []


async def test_a_file_over_the_limit_is_413(serve: Serve) -> None:
    async with serve(max_upload_mb=0.1) as served:
        limit = (await served.http.get("/features")).json()["max_upload_size"]
        assert limit == 104857
        answer = await upload(served, "a", bytes(limit + 1))
        assert (answer.status_code, answer.json()["error"]["type"]) == (413, "too_large")
        assert names(served) == []


@given(st.text(max_size=30))
def test_a_kind_at_the_end_is_split_off(name: str) -> None:
    assert split_kind(f"{name} [temp]") == (name, "temp")
    if not name.endswith("]"):
        assert split_kind(name) == (name, None)
