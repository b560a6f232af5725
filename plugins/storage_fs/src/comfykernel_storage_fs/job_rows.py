"""Jobs and events as rows: columns that queries use, and msgpack for the rest."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import msgspec

from comfykernel_sdk.errors import BadInput
from comfykernel_sdk.events import Event, NumberedEvent
from comfykernel_sdk.jobs import Job, JobState, Outcome

if TYPE_CHECKING:
    import sqlite3

COLUMNS: Final = (
    "prompt_id, number, state, user, client_id, idempotency_key, request_digest, attempts, created_ms, started_ms,"
    " ended_ms, worker, graph, extra_data, secrets, outputs_to_execute, outcome, workflow_id"
)
INSERT_JOB: Final = f"INSERT INTO jobs ({COLUMNS}) VALUES ({', '.join('?' * len(COLUMNS.split(',')))})"
SELECT_JOB: Final = f"SELECT sequence, {COLUMNS} FROM jobs"

_encoder: Final = msgspec.msgpack.Encoder()
_graph: Final = msgspec.msgpack.Decoder(dict[str, dict[str, Any]])
_object: Final = msgspec.msgpack.Decoder(dict[str, Any])
_names: Final = msgspec.msgpack.Decoder(list[str])
_outcome: Final = msgspec.msgpack.Decoder(Outcome)
_event: Final = msgspec.msgpack.Decoder(Event)


def encode(value: object) -> bytes:
    """Msgpack of a struct or of plain data (NaN and infinity included).

    Raises:
        BadInput: a whole number beyond 64 bits, or a text that is no Unicode text.
    """
    try:
        return _encoder.encode(value)
    except (OverflowError, UnicodeEncodeError) as error:
        raise BadInput("The data can't be stored.", details=str(error), type="unstorable_value") from error


def values_of(job: Job) -> tuple[object, ...]:
    """The values for :data:`INSERT_JOB`.

    Raises:
        BadInput: something in the job can't be stored.
    """
    if math.isnan(job.number):
        raise BadInput("The number of a job must be a number that orders.", type="unstorable_value")
    return (
        job.prompt_id,
        float(job.number),
        job.state.value,
        job.user,
        job.client_id,
        job.idempotency_key,
        job.request_digest,
        job.attempts,
        job.created_ms,
        job.started_ms,
        job.ended_ms,
        job.worker,
        encode(job.graph),
        encode(job.extra_data),
        encode(job.secrets) if job.secrets else None,
        encode(job.outputs_to_execute),
        encode(job.outcome) if job.outcome is not None else None,
        job.workflow_id,
    )


def job_of(row: sqlite3.Row) -> Job:
    """The job in a row of :data:`SELECT_JOB`."""
    return Job(
        prompt_id=row["prompt_id"],
        number=row["number"],
        sequence=row["sequence"],
        graph=_graph.decode(row["graph"]),
        extra_data=_object.decode(row["extra_data"]),
        secrets=_object.decode(row["secrets"]) if row["secrets"] is not None else {},
        outputs_to_execute=_names.decode(row["outputs_to_execute"]),
        client_id=row["client_id"],
        user=row["user"],
        idempotency_key=row["idempotency_key"],
        request_digest=row["request_digest"],
        state=JobState(row["state"]),
        attempts=row["attempts"],
        created_ms=row["created_ms"],
        started_ms=row["started_ms"],
        ended_ms=row["ended_ms"],
        worker=row["worker"],
        outcome=_outcome.decode(row["outcome"]) if row["outcome"] is not None else None,
    )


def event_of(row: sqlite3.Row) -> NumberedEvent:
    """The event in a row of ``number, event``."""
    return NumberedEvent(row["number"], _event.decode(row["event"]))
