"""What the OpenAPI document tells of an operation beyond its signature: bodies, answers, statuses.

Handlers read bodies leniently and often answer with ready bytes, so their annotations can't tell these.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from . import openapi_schemas as doc
from . import schemas

JSON: Final = "application/json"

COMMON_ERRORS: Final = (401, 403, 500)
"""Of every operation: the caller is not known, may not call, the server failed."""

STATUS_TEXTS: Final = {
    101: "The connection is a WebSocket now",
    200: "Success",
    204: "Done",
    206: "The part of the file that was asked for",
    304: "The caller has it already",
    400: "The request is wrong",
    401: "The caller is not known",
    403: "The caller may not do this",
    404: "There is no such thing",
    405: "The method is not possible at this path",
    409: "It is there already",
    413: "The body is too large",
    416: "The range lies outside of the file",
    426: "The address serves WebSocket connections only",
    500: "The server failed",
    503: "The server can't answer at this moment",
}


class Details(msgspec.Struct, kw_only=True, frozen=True):
    """One operation.

    Attributes:
        answer: type of the JSON that success answers.
        media: content types of an answer that is no JSON.
        empty: further statuses without a body.
        body: type of the body.
        form: the body is a multipart form.
        optional_body: the body may be left out.
        errors: statuses of ErrorResponse beyond the common ones.
        required: parameters that must be given although the handler has a default.
    """

    answer: Any = None
    media: tuple[str, ...] = ()
    empty: tuple[int, ...] = ()
    body: Any = None
    form: bool = False
    optional_body: bool = False
    errors: tuple[int, ...] = ()
    required: tuple[str, ...] = ()


def _command(body: object, *errors: int, optional_body: bool = False) -> Details:
    return Details(answer=doc.Nothing, body=body, errors=(400, 413, 503, *errors), optional_body=optional_body)


DETAILS: Final[dict[str, Details]] = {
    "getPromptInfo": Details(answer=schemas.PromptInfo),
    "executePrompt": Details(answer=schemas.PromptResponse, body=doc.PromptRequest, errors=(400, 409, 413, 503)),
    "getQueueInfo": Details(answer=doc.QueueInfo),
    "manageQueue": _command(doc.QueueManageRequest),
    "interruptExecution": _command(doc.InterruptRequest, optional_body=True),
    "getHistory": Details(answer=list[schemas.HistoryItem], errors=(400, 503)),
    "manageHistory": _command(doc.HistoryManageRequest),
    "getHistoryItem": Details(answer=schemas.HistoryItem, errors=(404, 503)),
    "getNodeInfo": Details(answer=dict[str, doc.NodeInfo], empty=(304,), errors=(503,)),
    "getNodeClassInfo": Details(answer=dict[str, doc.NodeInfo], errors=(404, 503)),
    "uploadImage": Details(answer=schemas.UploadResponse, body=doc.ImageUpload, form=True, errors=(400, 413, 503)),
    "uploadMask": Details(answer=schemas.UploadResponse, body=doc.MaskUpload, form=True, errors=(400, 413, 503)),
    "viewImage": Details(media=("image/*", "*/*"), empty=(304,), errors=(400, 404, 416)),
    "webSocketConnect": Details(errors=(426,)),
    "getModelTypes": Details(answer=list[str]),
    "getModels": Details(answer=list[str], errors=(404,)),
    "getEmbeddings": Details(answer=list[str]),
    "viewModelMetadata": Details(answer=doc.ModelMetadata, errors=(400, 404), required=("filename",)),
    "getModelFolders": Details(answer=list[doc.ModelFolder]),
    "getModelFiles": Details(answer=list[doc.ModelFile], errors=(404,)),
    "getModelPreview": Details(media=("image/webp",), errors=(400, 404)),
    "getSystemStats": Details(answer=schemas.SystemStats, errors=(400,)),
    "getFeatures": Details(answer=schemas.ServerFeatures),
    "freeResources": _command(schemas.FreeResourcesRequest),
    "getExtensions": Details(answer=list[str]),
    "getTranslations": Details(answer=dict[str, Any]),
    "getTemplates": Details(answer=dict[str, list[str]]),
    "getSubgraphs": Details(answer=dict[str, Any]),
    "getLogs": Details(answer=str),
    "getRawLogs": Details(answer=doc.RawLogsResponse),
    "subscribeToLogs": _command(doc.LogsSubscribeRequest),
    "getFolderPaths": Details(answer=dict[str, str]),
    "getFiles": Details(answer=list[str], errors=(400, 404)),
    "getNodeReplacements": Details(answer=dict[str, list[doc.NodeReplacement]]),
    "listJobs": Details(answer=doc.JobList, errors=(400, 503)),
    "getJob": Details(answer=doc.JobDetail, errors=(404, 503)),
    "getJobAssets": Details(answer=doc.JobAssets, errors=(400, 404, 503)),
    "cancelJob": Details(answer=doc.Cancelled, errors=(404, 405, 503)),
    "cancelJobs": Details(answer=doc.Cancelled, body=doc.CancelJobsRequest, errors=(400, 413, 503)),
    "streamJobEvents": Details(media=("text/event-stream",), errors=(400, 404, 503)),
    "getUsers": Details(answer=dict[str, Any]),
    "addUser": Details(answer=str, body=doc.NewUser, errors=(400, 413, 503)),
    "getSettings": Details(answer=dict[str, Any]),
    "saveSettings": _command(dict[str, Any]),
    "getSetting": Details(answer=Any, errors=(404,)),
    "saveSetting": _command(Any, 404, 405),
    "listUserFiles": Details(answer=list[str | list[str] | doc.UserFile], errors=(400, 404)),
    "listUserEntries": Details(answer=list[doc.UserEntry], errors=(400, 404)),
    "readUserFile": Details(media=("*/*",), errors=(400, 404)),
    "writeUserFile": Details(answer=str | doc.UserFile, body=doc.File, errors=(400, 404, 405, 409, 413, 503)),
    "deleteUserFile": Details(errors=(400, 404, 405, 503)),
    "moveUserFile": Details(answer=str | doc.UserFile, errors=(400, 404, 405, 409, 503)),
}
"""By operation id."""

PARAMETER_TEXTS: Final = {
    "channel": "Channels of the picture: rgb, a or rgba.",
    "clientId": "The client's id, to go on where an earlier connection ended.",
    "directory_type": "Kind of directory.",
    "filename": "Name of the file.",
    "folder": "Name of the model folder.",
    "folder_name": "Name of the model folder.",
    "job_id": "The job's prompt id.",
    "limit": "At most so many.",
    "max_items": "At most so many, the newest.",
    "node_class": "Name of the node class.",
    "offset": "So many are skipped.",
    "preview": "A smaller copy: its format and quality, as webp;90.",
    "prompt_id": "Id of the prompt.",
    "sort_by": "What the jobs are sorted by.",
    "sort_order": "The lowest or the highest first.",
    "status": "Only these states, with commas: pending, in_progress, completed, failed, cancelled.",
    "workflow_id": "Only jobs made from this workflow of the editor.",
    "since": "Number of the last event that the caller knows.",
    "subfolder": "Folder below the directory.",
    "type": "Kind of directory.",
}
"""By name."""

PARAMETER_SCHEMAS: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("getHistory", "max_items"): {"type": "integer", "format": "int32"},
    ("getHistory", "offset"): {"type": "integer", "format": "int32"},
    ("getHistoryItem", "prompt_id"): {"type": "string", "format": "uuid"},
    ("getFiles", "directory_type"): {"type": "string", "enum": ["output", "input", "temp"]},
    ("listJobs", "limit"): {"type": "integer", "minimum": 1},
    ("listJobs", "sort_by"): {
        "type": "string",
        "enum": ["create_time", "created_at", "execution_duration"],
        "default": "create_time",
    },
    ("listJobs", "sort_order"): {"type": "string", "enum": ["asc", "desc"], "default": "desc"},
}
"""Narrower than the handler's annotation, by operation id and name."""
