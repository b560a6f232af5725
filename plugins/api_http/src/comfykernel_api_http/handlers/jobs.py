"""Jobs in all states: /jobs, and their events as a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Stream

from comfykernel_sdk.errors import BadInput, NotFound
from comfykernel_sdk.jobs import Job, JobState
from comfykernel_sdk.json_types import JsonObject
from comfykernel_sdk.transport import Kernel

from ..injection import TheKernel
from ..job_views import STATUSES, detail, summary
from ..json_reading import read_object

STATES = {status: state for state, status in STATUSES.items()}
ENDED = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})


@get("/jobs", operation_id="listJobs", tags=["workflow"], summary="List jobs")
async def list_jobs(
    kernel: TheKernel,
    status: FromQuery[str] = "",
    workflow_id: FromQuery[str] = "",
    sort_order: FromQuery[str] = "desc",
    limit: FromQuery[int | None] = None,
    offset: FromQuery[int] = 0,
) -> dict[str, object]:
    """Jobs, the newest first: those that wait or run, then those that have ended."""
    states = _states(status)
    offset = max(offset, 0)
    newest = sort_order != "asc"
    if not workflow_id and states in (ENDED, ENDED | {JobState.QUEUED, JobState.RUNNING}):
        page, total = await _page(kernel, states, limit, offset, newest=newest)
    else:
        jobs = _live(kernel, states, newest=newest)
        jobs += [job for job in await kernel.history(newest_first=newest) if job.state in states and ENDED & states]
        if workflow_id:
            jobs = [job for job in jobs if job.workflow_id == workflow_id]
        total = len(jobs)
        page = jobs[offset : None if limit is None else offset + max(limit, 0)]
    return {
        "jobs": [summary(job) for job in page],
        "pagination": {
            "offset": offset,
            "limit": limit if limit is not None else total,
            "total": total,
            "has_more": offset + len(page) < total,
        },
    }


@get("/jobs/{job_id:str}", operation_id="getJob", tags=["workflow"], summary="Get a job")
async def get_job(kernel: TheKernel, job_id: FromPath[str]) -> Response[dict[str, object]]:
    """One job with its outputs and the workflow that it was made from."""
    return Response(detail(await _known(kernel, job_id)))


@get(
    "/jobs/{job_id:str}/assets",
    operation_id="getJobAssets",
    tags=["workflow"],
    summary="Get further data on a job's files",
)
async def get_job_assets(
    kernel: TheKernel, job_id: FromPath[str], limit: FromQuery[int] = 0, offset: FromQuery[int] = 0
) -> JsonObject:
    """Further data on a job's files: none is kept."""
    await _known(kernel, job_id)
    pagination: JsonObject = {"offset": offset, "limit": limit, "total": 0, "has_more": False}
    return {"job_id": job_id, "assets": [], "pagination": pagination}


@post(
    "/jobs/{job_id:str}/cancel",
    operation_id="cancelJob",
    tags=["workflow"],
    summary="Cancel a job",
    status_code=200,
)
async def cancel_job(kernel: TheKernel, job_id: FromPath[str]) -> dict[str, bool]:
    """Cancel a job that waits or runs; one that has ended, or none, is no error."""
    return {"cancelled": await kernel.cancel(job_id)}


@post("/jobs/cancel", operation_id="cancelJobs", tags=["workflow"], summary="Cancel jobs", status_code=200)
async def cancel_jobs(kernel: TheKernel, request: Request[Any, Any, Any]) -> dict[str, bool]:
    """Cancel several jobs."""
    ids = read_object(await request.body()).get("job_ids")
    if not isinstance(ids, list) or not all(isinstance(id, str) for id in ids):
        raise BadInput("The member job_ids must be a list of texts.", type="invalid_body")
    results = [await kernel.cancel(str(id)) for id in ids]
    return {"cancelled": any(results)}


@get(
    "/jobs/{job_id:str}/events", operation_id="streamJobEvents", tags=["workflow"], summary="Stream the events of a job"
)
async def stream_events(kernel: TheKernel, job_id: FromPath[str], since: FromQuery[int] = 0) -> Stream:
    """Server-sent events: what has happened to the job after event number ``since``, then what happens, to its end."""
    await _known(kernel, job_id)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Stream(_events(kernel, job_id, since), media_type="text/event-stream", headers=headers)


async def _events(kernel: Kernel, job_id: str, since: int) -> AsyncIterator[bytes]:
    async for numbered in kernel.replay(job_id, since=since):
        data = msgspec.json.encode(numbered.event)
        kind = type(numbered.event).__struct_config__.tag
        yield b"id: %d\nevent: %s\ndata: %s\n\n" % (numbered.number, str(kind).encode(), data)


def _states(status: str) -> frozenset[JobState]:
    words = [word.strip() for word in status.split(",") if word.strip()]
    unknown = [word for word in words if word not in STATES]
    if unknown:
        raise BadInput(
            "There is no such status of a job.", details=", ".join(unknown), hint=f"One of {', '.join(STATES)}."
        )
    return frozenset(STATES[word] for word in words) or frozenset(STATES.values())


async def _page(
    kernel: Kernel, states: frozenset[JobState], limit: int | None, offset: int, *, newest: bool
) -> tuple[list[Job], int]:
    """A page of all ended jobs (after those that wait or run), without reading the whole history."""
    live = _live(kernel, states, newest=newest)
    total = len(live) + await kernel.count_history()
    page = live[offset : None if limit is None else offset + max(limit, 0)]
    left = None if limit is None else max(limit, 0) - len(page)
    if left is None or left > 0:
        page += await kernel.history(limit=left, offset=max(offset - len(live), 0), newest_first=newest)
    return page, total


def _live(kernel: Kernel, states: frozenset[JobState], *, newest: bool) -> list[Job]:
    jobs = [job for job in [*kernel.running(), *kernel.pending()] if job.state in states]
    return sorted(jobs, key=lambda job: job.created_ms, reverse=newest)


async def _known(kernel: Kernel, job_id: str) -> Job:
    job = await kernel.job(job_id.replace("%2F", "/"))
    if job is None:
        raise NotFound("There is no such job.", details=job_id, type="unknown_job")
    return job
