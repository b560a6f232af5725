"""What the OpenAPI document says of the addresses that this plugin adds to those of the transport."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfykernel_sdk.json_types import JsonObject

NOT_MODIFIED: JsonObject = {"description": "The caller has it already"}


def blueprint_operations() -> JsonObject:
    """Of one subgraph blueprint."""
    schema: JsonObject = {
        "type": "object",
        "properties": {
            "source": {"type": "string"},
            "name": {"type": "string"},
            "info": {"type": "object", "additionalProperties": True},
            "data": {"type": "string", "description": "The subgraph as JSON."},
        },
        "required": ["source", "name", "info", "data"],
    }
    id: JsonObject = {"name": "subgraph_id", "in": "path", "required": True, "schema": {"type": "string"}}
    missing: JsonObject = {"404": {"description": "There is no such blueprint", "content": _json({"type": "object"})}}
    operation = _get("getSubgraph", "Get a subgraph blueprint", "system", _json(schema), missing)
    return {"get": {**operation, "parameters": [id]}}


def template_list_operations(name: str) -> JsonObject:
    """Of a list of workflow templates, ``index.LANGUAGE.json``, or of their logos."""
    content = _json({"type": ["array", "object"]})
    return {"get": _get(f"getTemplates{_words(name)}", f"Get {name} of the workflow templates", "page", content)}


def file_operations(path: str) -> JsonObject:
    """Of a fixed file."""
    return {"get": _get(f"get{_words(path)}", f"Get {path}", "page", {"*/*": {}})}


def _get(id: str, summary: str, tag: str, content: JsonObject, more: JsonObject | None = None) -> JsonObject:
    responses: JsonObject = {"200": {"description": "Success", "content": content}, "304": NOT_MODIFIED, **(more or {})}
    return {"operationId": id, "summary": summary, "tags": [tag], "responses": responses}


def _json(schema: JsonObject) -> JsonObject:
    return {"application/json": {"schema": schema}}


def _words(name: str) -> str:
    """A name as a part of an operation id: ``index.zh-TW.json`` is ``IndexZhTWJson``."""
    return "".join(word[:1].upper() + word[1:] for word in re.findall("[A-Za-z0-9]+", name))
