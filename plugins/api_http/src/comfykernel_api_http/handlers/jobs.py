"""Jobs in all states: /jobs, and their events as a stream."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from litestar import Request, Response, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Stream

from comfykernel_sdk.errors import BadInput, NotFound
from comfykernel_sdk.jobs import EndedKey
from comfykernel_sdk.json_types import JsonObject

from ..answers import encoder
from ..injection import TheKernel, TheServices
from ..job_events import MOST_EVENTS, event_stream, last_seen
from ..job_lists import MOST_JOBS, JobQuestion, list_page
from ..job_views import detail, summary
from ..json_reading import read_object
from .json_response import json_response

if TYPE_CHECKING:
    from comfykernel_sdk.jobs import Job

    from ..services import Services

AnyRequest = Request[Any, Any, Any]


@get("/jobs", operation_id="listJobs", tags=["workflow"], summary="List jobs")
async def list_jobs(
    services: TheServices,
    request: AnyRequest,
    status: FromQuery[str] = "",
    workflow_id: FromQuery[str] = "",
    sort_by: FromQuery[str] = "create_time",
    sort_order: FromQuery[str] = "desc",
    limit: FromQuery[int | None] = None,
    offset: FromQuery[int] = 0,
) -> Response[bytes]:
    """Jobs in any state, the newest first unless told otherwise."""
    question = JobQuestion.read(
        status=status, workflow_id=workflow_id, sort_by=sort_by, sort_order=sort_order, limit=limit, offset=offset
    )
    page = await list_page(services.kernel, question, user=services.bound_user(request.scope))
    keys = [each for each in page.jobs if isinstance(each, EndedKey)]
    ended = dict(await services.ended.entries(keys, page.asked, "summary"))
    lines = [
        ended.get(each.prompt_id) if isinstance(each, EndedKey) else encoder.encode(summary(each)) for each in page.jobs
    ]
    pagination = {
        "offset": question.offset,
        "limit": page.total if question.limit is None else question.limit,
        "total": page.total,
        "has_more": question.offset + len(page.jobs) < page.total,
    }
    body = b'{"jobs":[%b],"pagination":%b}' % (b",".join(filter(None, lines)), encoder.encode(pagination))
    return Response(body, media_type="application/json")


@get("/jobs/{job_id:str}", operation_id="getJob", tags=["workflow"], summary="Get a job")
async def get_job(services: TheServices, request: AnyRequest, job_id: FromPath[str]) -> Response[bytes]:
    """One job with its outputs and the workflow that it was made from."""
    job = await _known(services, request, job_id)
    return await asyncio.to_thread(lambda: json_response(detail(job)))


@get(
    "/jobs/{job_id:str}/assets",
    operation_id="getJobAssets",
    tags=["workflow"],
    summary="Get further data on a job's files",
)
async def get_job_assets(
    services: TheServices,
    request: AnyRequest,
    job_id: FromPath[str],
    limit: FromQuery[int] = 0,
    offset: FromQuery[int] = 0,
) -> JsonObject:
    """Further data on a job's files: none is kept."""
    await _known(services, request, job_id)
    limit, offset = (max(0, min(number, MOST_JOBS)) for number in (limit, offset))
    pagination: JsonObject = {"offset": offset, "limit": limit, "total": 0, "has_more": False}
    return {"job_id": job_id, "assets": [], "pagination": pagination}


@post(
    "/jobs/{job_id:str}/cancel",
    operation_id="cancelJob",
    tags=["workflow"],
    summary="Cancel a job",
    status_code=200,
)
async def cancel_job(services: TheServices, request: AnyRequest, job_id: FromPath[str]) -> dict[str, bool]:
    """Cancel a job that waits or runs; one that has ended, or none, is no error."""
    return {"cancelled": await services.kernel.cancel(_decoded(job_id), user=services.bound_user(request.scope))}


@post("/jobs/cancel", operation_id="cancelJobs", tags=["workflow"], summary="Cancel jobs", status_code=200)
async def cancel_jobs(services: TheServices, request: AnyRequest) -> dict[str, bool]:
    """Cancel several jobs."""
    ids = (await read_object(request)).get("job_ids")
    if not isinstance(ids, list) or not all(isinstance(id, str) and id for id in ids):
        raise BadInput("The member job_ids must be a list of job ids.", type="invalid_body")
    user = services.bound_user(request.scope)
    results = [await services.kernel.cancel(str(id), user=user) for id in ids]
    return {"cancelled": any(results)}


@get(
    "/jobs/{job_id:str}/events", operation_id="streamJobEvents", tags=["workflow"], summary="Stream the events of a job"
)
async def stream_events(
    services: TheServices, request: AnyRequest, job_id: FromPath[str], since: FromQuery[int] = 0
) -> Stream:
    """Server-sent events: what has happened to the job after event number ``since``, then what happens, to its end.

    A browser that comes back tells in ``Last-Event-ID`` where it was.
    """
    job = await _known(services, request, job_id)
    since = min(max(since, last_seen(request.headers.get("last-event-id"))), MOST_EVENTS)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    events = event_stream(services.kernel, job.prompt_id, since)
    return Stream(events, media_type="text/event-stream", headers=headers)


@get(
    "/node_replacements",
    operation_id="getNodeReplacements",
    tags=["node"],
    summary="Get what stands in for nodes that are gone",
)
async def get_node_replacements(kernel: TheKernel) -> JsonObject:
    """Replacements by the id of the node that is gone."""
    from ..node_replacements import replacements

    return replacements(kernel)


def _decoded(job_id: str) -> str:
    return job_id.replace("%2F", "/")


async def _known(services: Services, request: AnyRequest, job_id: str) -> Job:
    job = await services.kernel.job(_decoded(job_id))
    if job is None or services.bound_user(request.scope) not in (None, job.user):
        raise NotFound("There is no such job.", details=job_id, type="unknown_job")
    return job
