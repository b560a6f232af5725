from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from comfykernel_api_http.handlers.node import accepts_gzip
from comfykernel_sdk.errors import Unavailable

if TYPE_CHECKING:
    from .conftest import Served


async def test_all_nodes_compressed_or_plain(served: Served) -> None:
    plain = await served.http.get("/object_info", headers={"Accept-Encoding": "identity"})
    compressed = await served.http.get("/api/object_info", headers={"Accept-Encoding": "gzip, br"})
    assert "content-encoding" not in plain.headers
    assert compressed.headers["content-encoding"] == "gzip"
    assert plain.json() == compressed.json()
    assert plain.headers["etag"] != compressed.headers["etag"]
    assert plain.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_who_has_it_is_not_sent_it_again(served: Served, encoding: str) -> None:
    headers = {"Accept-Encoding": encoding}
    tag = (await served.http.get("/object_info", headers=headers)).headers["etag"]
    for known in (tag, f'"old", W/{tag}', "*"):
        again = await served.http.get("/object_info", headers={**headers, "If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
    assert (await served.http.get("/object_info", headers={**headers, "If-None-Match": '"x"'})).status_code == 200


async def test_one_node(served: Served) -> None:
    answer = await served.http.get("/object_info/Echo%2FA%20b")
    assert answer.json() == {"Echo/A b": {"name": "Echo/A b"}}
    assert "content-encoding" not in answer.headers
    assert (await served.http.get("/api/object_info/Nope")).json() == {}


async def test_no_catalog_is_503(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def object_info() -> None:
        raise Unavailable("No worker could start.", hint="See the log.")

    monkeypatch.setattr(served.kernel, "object_info", object_info)
    answer = await served.http.get("/object_info")
    assert answer.status_code == 503
    assert answer.json()["error"]["extra_info"] == {"hint": "See the log."}


async def test_a_failure_of_the_server_says_no_more_than_its_kind(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def object_info() -> None:
        raise ValueError("a secret")

    monkeypatch.setattr(served.kernel, "object_info", object_info)
    answer = await served.http.get("/object_info")
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "internal_error")
    assert "secret" not in answer.text
    assert "a secret" in caplog.text


@pytest.mark.parametrize(
    ("header", "good"),
    [(b"gzip", True), (b"br, GZIP;q=0.5", True), (b"*", True), (b"gzip;q=0", False), (b"br", False), (b"", False)],
)
def test_what_accepts_gzip(header: bytes, good: bool) -> None:
    assert accepts_gzip(header) is good
