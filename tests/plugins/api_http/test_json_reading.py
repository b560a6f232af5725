"""JSON of requests, small and large: the same values as Python's own reader gives, and nobody waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfykernel_api_http import json_reading
from comfykernel_api_http.json_reading import MAX_DEPTH, decode_json
from comfykernel_sdk.errors import BadInput

if TYPE_CHECKING:
    from .conftest import Served

LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=50)


@given(VALUES, st.integers(1, 200))
@settings(deadline=None)
def test_taken_apart_a_value_stays_the_same(value: Any, at_once: int) -> None:
    data = json.dumps(value, ensure_ascii=False).encode()
    before = json_reading.AT_ONCE
    json_reading.AT_ONCE = at_once  # type: ignore[misc]
    try:
        assert decode_json(data) == json.loads(data)
        assert decode_json(bytearray(b" \n\t" + data)) == json.loads(data)
    finally:
        json_reading.AT_ONCE = before  # type: ignore[misc]


@given(st.binary() | st.text().map(str.encode))
@settings(deadline=None)
def test_any_bytes_give_a_value_or_bad_input(data: bytes) -> None:
    with contextlib.suppress(BadInput):
        json.dumps(decode_json(data))


def test_what_python_reads_beyond_the_standard() -> None:
    values: Any = decode_json(b"\xef\xbb\xbf[NaN, Infinity, -Infinity, 1e999, 123456789012345678901234567890]")
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf, math.inf, 123456789012345678901234567890]


@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1])
def test_depth_is_bounded(depth: int) -> None:
    data = b"[" * depth + b"]" * depth
    large = b'{"a": "' + b"x" * json_reading.AT_ONCE + b'", "b": ' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"
    for text in (data, large):
        if depth <= MAX_DEPTH:
            decode_json(text)
        else:
            with pytest.raises(BadInput, match="deep"):
                decode_json(text)


@pytest.mark.parametrize(
    "body",
    [b"[" + b"[]," * 3_000_000 + b"1]", b"[" + b"1," * 5_000_000 + b"1]", b'{"prompt": {"1": [' + b"{}," * 250_000],
    ids=["lists", "numbers", "objects"],
)
async def test_floods_are_refused_without_being_read(
    served: Served, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    monkeypatch.setattr(json_reading, "decode_json", lambda data: pytest.fail("it was read"))
    answer = await served.http.post("/prompt", content=body)
    assert (answer.status_code, answer.json()["error"]["type"][:8]) == (400, "too_many")


async def test_large_bodies_are_read_in_a_thread_and_small_ones_are_not(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_loop: list[bool] = []
    decode = json_reading.decode_json

    def noted(data: bytes | bytearray) -> Any:
        try:
            asyncio.get_running_loop()
            on_loop.append(True)
        except RuntimeError:
            on_loop.append(False)
        return decode(data)

    monkeypatch.setattr(json_reading, "decode_json", noted)
    text = "a" * json_reading.AT_ONCE
    for value in ("a", text):
        await served.submit(value[:1] + str(len(value)), extra_data={"text": value})
        assert (await served.http.post("/settings/k", json=value)).status_code == 200
    assert on_loop == [True, True, False, False]
    assert served.kernel.jobs[f"a{len(text)}"].extra_data["text"] == text
    assert (await served.http.get("/settings/k")).json() == text
