"""Generated requests to a live server: every answer is one that its OpenAPI document describes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from PIL import Image

if TYPE_CHECKING:
    from .conftest import Server

schemathesis = pytest.importorskip("schemathesis")

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NOT_THERE = frozenset({"/api/ws"})
"""Answered only to those who ask in another way."""

EXAMPLES = 5
"""Requests to each operation that keep to the document, and as many that break it."""

OUTPUT = {"class_type": "ContractOutput", "inputs": {"value": "a"}}
FAIL = {"class_type": "ContractFail", "inputs": {"value": "a", "message": "as told"}}
SLEEP = {"class_type": "ContractSleep", "inputs": {"value": "b", "seconds": 2}}


def broken_promises(address: str, document: dict[str, Any]) -> list[str]:
    """What the server answers that the document does not describe, and every status of 500 and more."""
    from schemathesis.core.failures import FailureGroup

    found: list[str] = []
    for result in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = result.ok()
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            try:
                _ask(operation, mode, address)
            except Unsatisfiable:
                continue  # a request without parameters and body can't be wrong
            except FailureGroup as group:
                found += [f"{operation.label} ({mode.value}): {each}" for each in group.exceptions]
    return found


def _checks() -> list[Any]:
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks as openapi

    return [
        not_a_server_error,
        openapi.status_code_conformance,
        openapi.content_type_conformance,
        openapi.response_headers_conformance,
        openapi.response_schema_conformance,
    ]


def _ask(operation: Any, mode: Any, address: str) -> None:
    checks = _checks()

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        case.call_and_validate(base_url=address, checks=checks, timeout=20)

    ask()


def ask_for_what_is_there(server: Server, document: dict[str, Any]) -> None:
    """Read everything once while a job runs, one waits, and others have ended well and badly."""
    done = server.post({"1": OUTPUT})
    failed = server.post({"1": FAIL, "2": {**OUTPUT, "inputs": {"value": ["1", 0]}}})
    server.history(done)
    server.history(failed)
    server.post({"1": SLEEP, "2": {**OUTPUT, "inputs": {"value": ["1", 0]}}})
    server.post({"1": OUTPUT})
    picture = io.BytesIO()
    Image.new("RGB", (4, 4)).save(picture, "PNG")
    server.http.post("/upload/image", files={"image": ("a.png", picture.getvalue())}).raise_for_status()
    server.http.post("/userdata/b.json?full_info=true", content=b"{}").raise_for_status()
    places = {
        "prompt_id": done,
        "job_id": done,
        "node_class": "ContractOutput",
        "folder": "checkpoints",
        "directory_type": "input",
        "id": "some.setting",
        "file": "b.json",
        "subgraph_id": next(iter(server.http.get("/api/global_subgraphs").json())),
    }
    queries = {
        "viewImage": {"filename": "a.png", "type": "input"},
        "listUserFiles": {"dir": ".", "full_info": "true"},
        "streamJobEvents": {"since": 0},
    }
    for result in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = result.ok()
        names = {each.name for each in operation.path_parameters}
        if operation.method != "get" or not names <= set(places) or operation.path in NOT_THERE:
            continue
        query = queries.get(operation.definition.raw["operationId"])
        case = operation.Case(path_parameters={name: places[name] for name in names}, query=query)
        answer = case.call_and_validate(base_url=server.url, checks=_checks(), timeout=20)
        assert answer.status_code == 200, operation.label


def test_answers_are_as_described(server: Server) -> None:
    document = server.http.get("/openapi.json").json()
    schemathesis.openapi.from_dict(document).validate()
    ask_for_what_is_there(server, document)
    found = broken_promises(server.url, document)
    assert not found, "\n\n".join(found)
    assert server.http.get("/prompt").status_code == 200
