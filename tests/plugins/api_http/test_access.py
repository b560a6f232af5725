from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from websockets.exceptions import InvalidStatus

from comfykernel_api_http.access import AccessRules
from comfykernel_api_http.errors import RequestRefused
from comfykernel_sdk.settings import HttpSettings

if TYPE_CHECKING:
    from .conftest import Serve, Served


def passes(settings: HttpSettings, **headers: str) -> bool:
    given = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    try:
        AccessRules(settings).check(given)
    except RequestRefused:
        return False
    return True


LOCAL = HttpSettings()
WIDE = HttpSettings(listen="0.0.0.0,::", allowed_hosts=("Render.Example",))


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8188", "127.0.0.1:8188", "127.5.5.5", "[::1]:8188", "localhost."]
)
def test_names_of_this_machine_are_hosts(host: str) -> None:
    assert passes(LOCAL, host=host)
    assert passes(WIDE, host=host)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "[::1].evil"])
def test_other_names_are_not(host: str) -> None:
    assert not passes(LOCAL, host=host)
    assert not passes(WIDE, host=host)


def test_bound_wider_address_literals_and_configured_names_are_hosts() -> None:
    assert not passes(LOCAL, host="192.0.2.1:8188")
    assert passes(WIDE, host="192.0.2.1:8188")
    assert passes(WIDE, host="[2001:db8::1]:8188")
    assert passes(WIDE, host="render.example")


def test_a_program_sends_no_host_of_a_page() -> None:
    assert passes(LOCAL)
    assert passes(LOCAL, host="127.0.0.1:8188", user_agent="curl")


@pytest.mark.parametrize(
    ("origin", "good"),
    [
        ("http://127.0.0.1:8188", True),
        ("https://127.0.0.1:8188", True),
        ("HTTP://127.0.0.1:8188", True),
        ("http://localhost:8188", False),
        ("http://127.0.0.1", False),
        ("http://evil.example", False),
        ("http://127.0.0.1:8188.evil.example", False),
        ("null", False),
        ("", False),
        ("file://", False),
    ],
)
def test_an_origin_is_the_host(origin: str, good: bool) -> None:
    assert passes(LOCAL, host="127.0.0.1:8188", origin=origin) is good


def test_default_ports_may_be_left_out() -> None:
    assert passes(LOCAL, host="localhost", origin="http://localhost:80")
    assert passes(LOCAL, host="localhost:443", origin="https://localhost")
    assert passes(LOCAL, host="[::1]", origin="http://[::1]")


def test_cross_site_requests_are_refused() -> None:
    assert not passes(LOCAL, host="localhost", sec_fetch_site="cross-site")
    assert passes(LOCAL, host="localhost", sec_fetch_site="same-site")
    assert passes(LOCAL, host="localhost", sec_fetch_site="none")


def test_cors_lets_one_origin_or_any_in() -> None:
    one, any = HttpSettings(cors_origin="https://app.example"), HttpSettings(cors_origin="*")
    foreign = {"host": "localhost", "sec_fetch_site": "cross-site"}
    assert passes(one, origin="https://app.example", **foreign)
    assert not passes(one, origin="https://evil.example", **foreign)
    assert not passes(one, **foreign)
    assert passes(any, origin="https://evil.example", **foreign)
    assert passes(any, **foreign)
    assert not passes(any, host="rebound.example")


async def test_every_way_in_is_guarded(served: Served) -> None:
    evil = {"Origin": "http://evil.example"}
    for method, path in [("GET", "/prompt"), ("POST", "/interrupt"), ("OPTIONS", "/prompt"), ("GET", "/models")]:
        answer = await served.http.request(method, path, headers=evil)
        assert (answer.status_code, answer.json()["error"]["type"]) == (403, "foreign_origin")
    with pytest.raises(InvalidStatus) as refusal:
        await served.socket("a", additional_headers=evil)
    assert refusal.value.response.status_code == 403


async def test_options_is_answered_everywhere(served: Served) -> None:
    for path in ("/prompt", "/nope"):
        answer = await served.http.options(path)
        assert (answer.status_code, answer.content) == (200, b"")
        assert "access-control-allow-origin" not in answer.headers


async def test_cors_headers_are_on_every_answer(serve: Serve) -> None:
    async with serve(cors_origin="*") as served:
        for method, path in [("OPTIONS", "/prompt"), ("GET", "/prompt"), ("GET", "/models"), ("GET", "/nope")]:
            answer = await served.http.request(method, path, headers={"Origin": "http://other.example"})
            assert answer.headers["access-control-allow-origin"] == "*"


async def test_answers_are_not_sniffed_nor_embedded_elsewhere(served: Served) -> None:
    for path in ("/prompt", "/models", "/nope"):
        headers = (await served.http.get(path)).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["server"] == "comfykernel/9.9.9"


async def test_methods_that_are_not_there(served: Served) -> None:
    for method, path in [("PUT", "/prompt"), ("DELETE", "/queue"), ("GET", "/interrupt"), ("POST", "/features")]:
        answer = await served.http.request(method, path)
        assert (answer.status_code, answer.json()["error"]["type"]) == (405, "method_not_allowed")
        assert answer.headers["allow"]
    assert (await served.http.post("/nope")).status_code == 405
    assert (await served.http.get("/ws")).status_code == 426


async def test_head_is_get_without_a_body(served: Served) -> None:
    for path in ("/prompt", "/api/system_stats", "/models"):
        get, head = await served.http.get(path), await served.http.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == get.headers["content-type"] == "application/json; charset=utf-8"
        assert int(head.headers["content-length"]) > 0
