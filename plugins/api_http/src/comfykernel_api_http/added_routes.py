"""Addresses that other plugins serve, and what the OpenAPI document says of them."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from comfykernel_sdk.errors import PluginError

from .asgi import AsgiApp

Node: TypeAlias = dict[str, Any]
"""A JSON object of the document."""

FindApp: TypeAlias = Callable[[str], "AsgiApp | None"]
"""Gives the application of a path, or nothing."""

METHODS: Final = frozenset({"get", "put", "post", "delete", "options", "head", "patch"})
TAG: Final = "plugins"
"""Of operations whose plugin names none."""

_PREFIX: Final = "/api"


class AddedRoutes:
    """Routes by path; one that ends in ``/`` stands for everything one segment below."""

    def __init__(self) -> None:
        self.schemas: dict[str, Node] = {}
        self._apps: dict[str, AsgiApp] = {}
        self._operations: dict[str, dict[str, Node]] = {}
        self._finders: list[FindApp] = []

    def add_finder(self, find: FindApp) -> None:
        """Serve paths that are known only while the server runs; see the hook ``register_route_finders``."""
        self._finders.append(find)

    def add(
        self,
        path: str,
        app: AsgiApp,
        *,
        operations: Mapping[str, Mapping[str, Any]] | None = None,
        schemas: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        """Serve a path; see the hook ``register_http_routes``.

        Raises:
            PluginError: the path or a schema's name is taken, or a description is none.
        """
        if not path.startswith("/") or path == "/" or path in self._apps:
            raise PluginError(f"The address {path} is taken." if path in self._apps else f"Not an address: {path!r}.")
        for method, operation in (operations or {}).items():
            _check(path, method, operation)
        for name, schema in (schemas or {}).items():
            if self.schemas.setdefault(name, dict(schema)) != schema:
                raise PluginError(f"The schema {name} is described by another plugin.", details=path)
        self._apps[path] = app
        self._operations[path] = {method: dict(operation) for method, operation in (operations or {}).items()}

    def app(self, path: str) -> AsgiApp | None:
        """The application that serves this path: exactly, or what lies right below, or what a finder knows."""
        known = self._apps.get(path) or self._apps.get(path.rpartition("/")[0] + "/")
        return known or next((app for find in self._finders if (app := find(path)) is not None), None)

    def described(self) -> Iterator[tuple[str, dict[str, Node]]]:
        """Path templates with their operations; of a path that is there with and without /api, the first."""
        for path, operations in self._operations.items():
            if _PREFIX + path in self._apps:
                continue
            operations = copy.deepcopy(operations)
            yield _template(path, operations), operations

    @staticmethod
    def undescribed(template: str) -> dict[str, Node]:
        """What can be said of a path whose plugin says nothing."""
        words = re.findall(r"[A-Za-z0-9]+", template.removeprefix(_PREFIX))
        operation: Node = {
            "operationId": "get" + "".join(word[:1].upper() + word[1:] for word in words),
            "summary": f"{template}, which a plugin serves",
            "responses": {"200": {"description": "Success", "content": {"*/*": {}}}},
        }
        if name := _parameter_of(template):
            operation["parameters"] = [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}}]
        return {"get": operation}


def _template(path: str, operations: Mapping[str, Node]) -> str:
    """The path with its last segment as the parameter that the operations name."""
    if not path.endswith("/"):
        return path
    named = (
        str(parameter["name"])
        for operation in operations.values()
        for parameter in operation.get("parameters", ())
        if parameter.get("in") == "path"
    )
    return f"{path}{{{next(named, 'name')}}}"


def _parameter_of(template: str) -> str:
    return template.rpartition("{")[2].removesuffix("}") if template.endswith("}") else ""


def _check(path: str, method: str, operation: Mapping[str, Any]) -> None:
    if method not in METHODS:
        raise PluginError(f"{path} is described with {method!r}, which is no method in small letters.")
    if not isinstance(operation.get("operationId"), str) or not operation.get("responses"):
        raise PluginError(f"The description of {method} {path} needs an operationId and responses.")
