"""POST /prompt with an editor's document: where it may stand, and what goes before it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Served

GRAPH: dict[str, Any] = {"1": {"class_type": "Echo", "inputs": {"value": "a"}}}
DOCUMENT: dict[str, Any] = {"nodes": [{"id": 1, "type": "Echo"}], "links": [], "id": "x"}
INFO = {"extra_pnginfo": {"workflow": DOCUMENT}}


async def submitted(served: Served, body: dict[str, Any]) -> Any:
    answer = await served.http.post("/prompt", content=json.dumps(body))
    assert answer.status_code == 200, answer.text
    return served.kernel.jobs[answer.json()["prompt_id"]]


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": DOCUMENT},
        {"prompt": DOCUMENT, "workflow": {"nodes": []}},
        {"prompt": None, "workflow": DOCUMENT},
        {"workflow": DOCUMENT, "extra_data": {"extra_pnginfo": {"workflow": {"nodes": []}}}},
        {"extra_data": INFO},
        {"extra_data": INFO, "workflow": "?"},
        DOCUMENT,
    ],
)
async def test_a_document_is_handed_to_the_kernel(served: Served, body: dict[str, Any]) -> None:
    assert (await submitted(served, body)).graph == DOCUMENT


@pytest.mark.parametrize("more", [{"workflow": DOCUMENT}, {"extra_data": INFO}])
async def test_a_prompt_goes_before_a_document(served: Served, more: dict[str, Any]) -> None:
    assert (await submitted(served, {"prompt": GRAPH, **more})).graph == GRAPH


@pytest.mark.parametrize(
    "body",
    [{}, {"workflow": GRAPH}, {"workflow": 3}, {"extra_data": 3}, {"extra_data": {"extra_pnginfo": []}}, {"nodes": {}}],
)
async def test_without_either_there_is_no_prompt(served: Served, body: dict[str, Any]) -> None:
    answer = await served.http.post("/prompt", json=body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "no_prompt")


async def test_an_empty_prompt_stays_one(served: Served) -> None:
    answer = await served.http.post("/prompt", json={"prompt": {}, "workflow": DOCUMENT})
    assert answer.json()["error"]["type"] == "prompt_no_outputs"


async def test_the_nodes_to_run_are_listed_not_searched_in_a_text(served: Served) -> None:
    job = await submitted(served, {"prompt": DOCUMENT, "partial_execution_targets": ["1", "7:2"]})
    assert job.outputs_to_execute == ["1", "7:2"]
    answer = await served.http.post("/prompt", json={"prompt": DOCUMENT, "partial_execution_targets": "1"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request")
