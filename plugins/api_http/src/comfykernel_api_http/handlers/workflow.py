"""Workflow execution: /prompt, /interrupt, /history."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from comfykernel_sdk.errors import BadInput, Conflict, Forbidden, NotFound
from comfykernel_sdk.jobs import new_prompt_id

from ..answers import Answer, done, encoder, joined, json_answer
from ..json_reading import as_object, read_json, read_object
from ..prompt_reading import read_prompt
from ..schemas import PromptResponse
from ..shapes import wants_classic_shape

if TYPE_CHECKING:
    from comfykernel_sdk.jobs import EndedQuestion, PromptRequest
    from comfykernel_sdk.transport import Kernel

    from ..ended_jobs import Form
    from ..request import Request

log = logging.getLogger(__name__)

MOST_ITEMS: Final = 2**31 - 1
"""Largest number of history entries that can be asked for or skipped."""


async def get_prompt_info(request: Request) -> Answer:
    """GET /prompt: how many prompts wait or run."""
    return Answer(prompt_info(request.services.kernel))


def prompt_info(kernel: Kernel) -> bytes:
    """The same as JSON."""
    return b'{"exec_info":{"queue_remaining":%d}}' % kernel.queue_remaining()


async def execute_prompt(request: Request) -> Answer:
    """POST /prompt: submit a workflow. What happens to it is told to clients after the answer."""
    services = request.services
    try:
        prompt = read_prompt(
            await read_json(request),
            user=services.user_of(request.scope),
            idempotency_key=request.header(b"idempotency-key"),
        )
    except BadInput as error:
        _log_refusal(request, error)
        raise
    await _check_owner(request, prompt)
    if prompt.prompt_id is None and prompt.idempotency_key is None:
        prompt.prompt_id = new_prompt_id()
    held = prompt.prompt_id
    if held is not None:
        services.hub.begin_answer(held)
    try:
        submission = await services.kernel.submit(prompt)
    except BaseException as error:
        if held is not None:
            services.hub.end_answer(held)
        _log_refusal(request, error)
        raise
    answer = json_answer(
        PromptResponse(prompt_id=submission.prompt_id, number=submission.number, node_errors=submission.node_errors)
    )
    if submission.repeated:
        answer.headers = [(b"idempotency-replayed", b"true")]
    if held is not None:
        answer.after = lambda: services.hub.end_answer(held)
    return answer


async def _check_owner(request: Request, prompt: PromptRequest) -> None:
    """Let no caller who is bound to a user send messages to the socket of another, or take the place of their job.

    Raises:
        Forbidden: the client is another user's.
        Conflict: the prompt_id is one of another user's jobs.
        Forbidden: an input names another user's file.
    """
    user = request.bound_user
    if user is None:
        return
    connection = None if prompt.client_id is None else request.services.hub.find(prompt.client_id)
    if connection is not None and connection.user != user:
        raise Forbidden("The client_id belongs to another user.", details=connection.sid, type="client_taken")
    job = None if prompt.prompt_id is None else await request.services.kernel.job(prompt.prompt_id)
    if job is not None and job.user != user:
        raise Conflict("The prompt_id is taken.", details=job.prompt_id, type="prompt_id_in_use")
    foreign = await asyncio.to_thread(request.services.owners.foreign_file, prompt.graph, user)
    if foreign is not None:
        node_id, name = foreign
        raise Forbidden(
            "An input names a file of another user.",
            details=f"Node ID '#{node_id}', input {name}",
            type="foreign_file",
            extra_info={"node_id": node_id, "input_name": name},
        )


def _log_refusal(request: Request, error: BaseException) -> None:
    """The log may be read by other users than the one who sent the prompt: these learn only that it was refused."""
    told = error if request.bound_user is None else getattr(error, "type", type(error).__name__)
    log.info("A prompt was refused: %s", told)


async def interrupt_execution(request: Request) -> Answer:
    """POST /interrupt: cancel what runs, or one prompt if it runs. A body that is no JSON counts as none."""
    try:
        body = await read_json(request, empty={})
    except BadInput as error:
        if error.type != "invalid_json":
            raise
        body = {}
    prompt_id = as_object(body).get("prompt_id")
    await request.services.kernel.interrupt(str(prompt_id) if prompt_id else None, user=request.bound_user)
    return done()


async def get_history(request: Request) -> Answer:
    """GET /history: prompts that have ended, oldest first."""
    classic = wants_classic_shape(request.path, request.headers)
    entries = await _ended(request, "classic" if classic else "item")
    parts = [b"{" if classic else b"["]
    for prompt_id, entry in entries:
        parts += (encoder.encode(prompt_id), b":", entry, b",") if classic else (entry, b",")
    return Answer(await joined([*parts[: -1 if entries else None], b"}" if classic else b"]"]))


async def get_history_item(request: Request) -> Answer:
    """GET /history/{prompt_id}: one prompt that has ended."""
    job = await request.services.kernel.job(request.path_value)
    known = job is not None and job.state.ended and request.bound_user in (None, job.user)
    ended = request.services.ended
    if wants_classic_shape(request.path, request.headers):
        if job is None or not known:
            return Answer(b"{}")
        return Answer(b"{%b:%b}" % (encoder.encode(job.prompt_id), await ended.entry(job, "classic")))
    if job is None or not known:
        raise NotFound(
            "There is no such prompt in the history.",
            details=request.path_value,
            hint="It may still wait or run: see /api/queue.",
            type="unknown_prompt",
        )
    return Answer(await ended.entry(job, "item"))


async def manage_history(request: Request) -> Answer:
    """POST /history: forget all, or some."""
    body = await read_object(request)
    kernel = request.services.kernel
    if body.get("clear"):
        await kernel.clear_history(user=request.bound_user)
    if "delete" in body:
        await kernel.delete_history(read_ids(body["delete"]), user=request.bound_user)
    return done()


def read_ids(value: object) -> list[str]:
    """Prompt ids of a ``delete`` member; a text is a list of its letters, as the clients' server reads it.

    Raises:
        BadInput: it is no list.
    """
    if not isinstance(value, (list, str)):
        raise BadInput("The member delete must be a list of prompt ids.", type="invalid_body")
    return [id for id in value if isinstance(id, str)]


async def _ended(request: Request, form: Form) -> list[tuple[str, bytes]]:
    """The page of the history that two parameters describe.

    Without ``offset`` the newest ``max_items``; with one so many after skipping the oldest ``offset``; a negative
    offset means the newest, and nothing by itself.
    """
    max_items, offset = _whole(request, "max_items"), _whole(request, "offset")
    if max_items is not None and max_items <= 0:
        return []
    from_start = max_items is None or (offset is not None and offset >= 0)
    question: EndedQuestion = {"limit": max_items, "newest_first": not from_start, "user": request.bound_user}
    if from_start:
        question["offset"] = max(offset or 0, 0)
    entries = await request.services.ended.page(question, form)
    return entries if from_start else entries[::-1]


def _whole(request: Request, name: str) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    try:
        number = int(text[:100])
    except ValueError:
        raise BadInput(
            f"The parameter {name} must be a whole number.", details=text[:100], type="invalid_parameter"
        ) from None
    return max(-MOST_ITEMS, min(number, MOST_ITEMS))
