"""Lists of jobs with their filters, the events of one as a stream, replacements of nodes, flags of what is there."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import pytest

from comfykernel_sdk.events import NodeText
from comfykernel_sdk.jobs import Outcome

if TYPE_CHECKING:
    from .conftest import Served

PAGE = {"Comfy-User": ""}


@pytest.fixture
async def jobs(served: Served) -> Served:
    """Jobs a to f, submitted in this order; they end in another one."""
    for id in "abcdef":
        workflow = {"extra_pnginfo": {"workflow": {"id": f"w{id}" if id in "bd" else "w"}}}
        await served.submit(id, extra_data=workflow)
    for id, started, status in (("c", 10, "done"), ("a", 20, "failed"), ("b", 5, "done"), ("d", 1, "cancelled")):
        served.kernel.start(id)
        outcome: Any = Outcome(status=status)
        served.kernel.end(id, outcome)
        job = served.kernel.jobs[id]
        job.started_ms, job.ended_ms = 1_000, 1_000 + started
    served.kernel.start("e")
    return served


@pytest.mark.parametrize(
    ("query", "ids", "total"),
    [
        ("", "fedcba", 6),
        ("status=completed,failed,cancelled&limit=64&offset=0", "dcba", 4),
        ("status=in_progress,pending&limit=200&offset=0", "fe", 2),
        ("status=completed", "cb", 2),
        ("status=failed,%20cancelled,", "da", 2),
        ("status=pending,completed", "fcb", 3),
        ("limit=2", "fe", 6),
        ("limit=2&offset=1", "ed", 6),
        ("limit=3&offset=2", "dcb", 6),
        ("limit=3&offset=5", "a", 6),
        ("offset=9", "", 6),
        ("offset=-3&limit=1", "f", 6),
        ("sort_order=asc&limit=4", "abcd", 6),
        ("sort_by=created_at&sort_order=asc", "abcdef", 6),
        ("sort_by=execution_duration&status=completed,failed,cancelled", "acbd", 4),
        ("sort_by=execution_duration&sort_order=asc&status=completed,failed", "bca", 3),
        ("workflow_id=w", "feca", 4),
        ("workflow_id=w&status=completed,failed,cancelled&limit=1&offset=1", "a", 2),
        ("workflow_id=none", "", 0),
        ("limit=99999999999999999999", "fedcba", 6),
    ],
)
async def test_lists_are_filtered_sorted_and_cut(jobs: Served, query: str, ids: str, total: int) -> None:
    answer = (await jobs.http.get(f"/api/jobs?{query}")).json()
    assert "".join(job["id"] for job in answer["jobs"]) == ids
    pagination = answer["pagination"]
    assert (pagination["total"], isinstance(pagination["limit"], int)) == (total, True)
    assert pagination["has_more"] == (pagination["offset"] + len(ids) < total)


@pytest.mark.parametrize("query", ["status=odd", "sort_by=name", "sort_order=up", "limit=0", "limit=-1", "limit=a"])
async def test_questions_that_make_no_sense(jobs: Served, query: str) -> None:
    answer = await jobs.http.get(f"/api/jobs?{query}")
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "invalid_parameter"
    assert query.partition("=")[0] in error["message"] + error["details"]


async def test_a_job_that_ends_while_it_is_asked_for_is_told_once(jobs: Served) -> None:
    keys = jobs.kernel.history_keys

    async def ends_meanwhile(**question: Any) -> Any:
        if not jobs.kernel.jobs["e"].state.ended:
            jobs.kernel.end("e")
        return await keys(**question)

    jobs.kernel.history_keys = ends_meanwhile  # type: ignore[method-assign]
    answer = (await jobs.http.get("/jobs?limit=3")).json()
    assert [(job["id"], job["status"]) for job in answer["jobs"]] == [
        ("f", "pending"),
        ("e", "completed"),
        ("d", "cancelled"),
    ]
    assert answer["pagination"]["total"] == 6


@pytest.mark.parametrize(
    ("query", "header", "first"),
    [("", "", 1), ("?since=1", "", 2), ("", "1", 2), ("?since=1", "0", 2), ("?since=-5", "x", 1), ("", "²", 1)],
)
async def test_a_stream_goes_on_where_the_client_was(served: Served, query: str, header: str, first: int) -> None:
    await served.submit("p")
    served.kernel.start("p")
    served.kernel.end("p")
    headers = [(b"last-event-id", header.encode())] if header else []
    told = (await served.http.get(f"/api/jobs/p/events{query}", headers=headers)).text
    assert told.startswith(f"id: {first}\nevent: ")
    assert told.endswith("\n\n")


@pytest.mark.parametrize("since", [2**63 - 1, 10**30])
async def test_a_number_that_no_event_has_gives_an_empty_stream(served: Served, since: int) -> None:
    await served.submit("p")
    served.kernel.end("p")
    answer = await served.http.get(f"/jobs/p/events?since={since}")
    assert (answer.status_code, answer.text) == (200, "")


async def test_odd_pages_of_a_jobs_files(served: Served) -> None:
    await served.submit("p")
    for limit in ("99999999999999999999", "-1"):
        answer = await served.http.get(f"/jobs/p/assets?limit={limit}&offset={limit}")
        assert (answer.status_code, answer.json()["assets"]) == (200, [])


async def test_replacements_of_nodes_that_are_gone(served: Served) -> None:
    assert (await served.http.get("/api/node_replacements")).json() == {}
    old = {"old": "Gone", "new": "Echo", "inputs": {"value": "text"}, "values": {"more": 1}, "outputs": {"0": 1}}
    served.kernel.packs = [
        {"name": "a", "replacements": [{**old, "widgets": ["text", "seed"]}]},
        {"name": "b", "replacements": [{"old": "Gone", "new": "Other"}]},
        {"name": "c"},
    ]
    assert (await served.http.get("/api/node_replacements")).json() == {
        "Gone": [
            {
                "new_node_id": "Echo",
                "old_node_id": "Gone",
                "old_widget_ids": ["text", "seed"],
                "input_mapping": [{"new_id": "value", "old_id": "text"}, {"new_id": "more", "set_value": 1}],
                "output_mapping": [{"new_idx": 1, "old_idx": 0}],
            },
            {
                "new_node_id": "Other",
                "old_node_id": "Gone",
                "old_widget_ids": None,
                "input_mapping": None,
                "output_mapping": None,
            },
        ]
    }


FEATURES = {"supports_preview_metadata": True, "max_upload_size": 104857600}
OF_PAGES = {**FEATURES, "supports_progress_text_metadata": True, "node_replacements": True, "assets": False}


async def test_flags_say_what_is_there(served: Served) -> None:
    for path in ("/features", "/api/features"):
        assert (await served.http.get(path)).json() == FEATURES
        told = (await served.http.get(path, headers=PAGE)).json()
        assert told == OF_PAGES
    for flag, path in (("node_replacements", "/api/node_replacements"), ("assets", "/api/assets")):
        assert ((await served.http.get(path)).status_code == 200) is told[flag]


async def test_texts_tell_their_prompt_to_clients_that_know_of_it(served: Served) -> None:
    plain = await served.socket("plain")
    page = await served.socket("page", additional_headers={"Origin": served.address})
    for listener, features in ((plain, FEATURES), (page, OF_PAGES)):
        await listener.next()
        flags = dict.fromkeys(features, True) if listener is page else {}
        await listener.link.send(_features(flags))
        assert (await listener.next())["data"] == features
    await served.submit("p")
    served.kernel.start("p")
    served.kernel.publish(NodeText(prompt_id="p", node_id="ä", text="ß", broadcast=True))
    node = struct.pack(">I", 2) + "äß".encode()
    for listener, frame in ((plain, node), (page, struct.pack(">I", 1) + b"p" + node)):
        assert [m for m in await listener.quiet() if isinstance(m, bytes)] == [struct.pack(">I", 3) + frame]


def _features(flags: dict[str, bool]) -> str:
    return json.dumps({"type": "feature_flags", "data": flags})
