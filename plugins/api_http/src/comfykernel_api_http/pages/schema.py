"""The page that shows the OpenAPI document to people."""

from __future__ import annotations

import json
from html import escape
from typing import Any, TypeAlias

from .page import card, render_page, table

Node: TypeAlias = dict[str, Any]
"""A JSON object of the document."""


def render_schema(document: Node) -> str:
    """The whole page: operations by tag, then the schemas."""
    info = document["info"]
    groups: dict[str, list[str]] = {tag["name"]: [] for tag in document["tags"]}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            tag = operation.get("tags", ["other"])[0]
            groups.setdefault(tag, []).append(_operation(method, path, operation))
    texts = {tag["name"]: tag["description"] for tag in document["tags"]}
    cards = [
        card(f"{name}: {texts[name]}" if name in texts else name, "".join(operations))
        for name, operations in groups.items()
        if operations
    ]
    access = table(
        ["Name", "How"],
        [
            [f"<code>{escape(name)}</code>", escape(scheme.get("description", ""))]
            for name, scheme in document["components"].get("securitySchemes", {}).items()
        ],
    )
    schemas = "".join(_schema(name, schema) for name, schema in document["components"]["schemas"].items())
    head = (
        f'<div class="head"><div><h1>{escape(info["title"])} API</h1>'
        f'<p class="soft">Version {escape(info["version"])}. {escape(info["description"])}</p>'
        '<p><a href="/openapi.json">OpenAPI document</a></p></div></div>'
    )
    return render_page(
        f"{info['title']} API", head + "".join(cards) + card("Access", access) + card("Schemas", schemas)
    )


def _operation(method: str, path: str, operation: Node) -> str:
    title = f"<code><strong>{method.upper()}</strong> {escape(path)}</code> {escape(operation.get('summary', ''))}"
    parts = [f"<p>{escape(operation.get('description', ''))}</p>"]
    parameters = operation.get("parameters", [])
    if parameters:
        parts.append(table(["Parameter", "In", "Type", ""], [_parameter(each) for each in parameters]))
    if "requestBody" in operation:
        parts.append(table(["Body", "Type"], _contents(operation["requestBody"])))
    answers = [
        [f"<code>{status}</code>", escape(response["description"]), "<br>".join(row[1] for row in _contents(response))]
        for status, response in operation["responses"].items()
    ]
    parts.append(table(["Status", "Meaning", "Type"], answers))
    anchor = escape(operation.get("operationId", ""), quote=True)
    return f'<details id="{anchor}"><summary>{title}</summary>{"".join(parts)}</details>'


def _parameter(parameter: Node) -> list[str]:
    needed = "required" if parameter.get("required") else ""
    text = ". ".join(part for part in (parameter.get("description", "").rstrip("."), needed) if part)
    return [
        f"<code>{escape(parameter['name'])}</code>",
        parameter["in"],
        _type(parameter.get("schema", {})),
        escape(text),
    ]


def _contents(holder: Node) -> list[list[str]]:
    return [
        [f"<code>{escape(media)}</code>", _type(body.get("schema", {}))]
        for media, body in holder.get("content", {}).items()
    ]


def _type(schema: Node) -> str:
    """A schema in brief, with links to those that have a name."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{escape(name, quote=True)}">{escape(name)}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(kind) for kind in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    if schema.get("type") == "array" and isinstance(schema.get("items"), dict):
        return f"list of {_type(schema['items'])}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties']) or 'anything'}"
    return escape(str(schema.get("type", "anything")))


def _schema(name: str, schema: Node) -> str:
    text = escape(json.dumps(schema, indent=2, ensure_ascii=False))
    title = f"<code>{escape(name)}</code> {escape(schema.get('description', ''))}"
    return f'<details id="{escape(name, quote=True)}"><summary>{title}</summary><pre>{text}</pre></details>'
