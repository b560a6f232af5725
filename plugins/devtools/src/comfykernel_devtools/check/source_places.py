"""Where a node and its parameters stand in a file, and what that file imports."""

from __future__ import annotations

import ast
import functools
import inspect
import sys
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Union, get_args, get_origin

import msgspec

from comfykernel_sdk.json_types import Json
from comfykernel_sdk.sockets import Choice, File, Float, Int, Text, Toggle, Widget

from .inspected import Declared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from comfykernel_sdk.nodes import NodeDefinition

PYTHON_TYPES: Final[dict[type[Widget], type]] = {Int: int, Float: float, Text: str, Toggle: bool, File: str}
"""What a type checker must see where clients see the widget."""


class NodeSource(msgspec.Struct, kw_only=True):
    """File and line of a node, and its parameters."""

    file: str = ""
    line: int | None = None
    parameters: dict[str, Declared] = {}


def node_source(definition: NodeDefinition) -> NodeSource:
    """Where the function or class of a node stands; empty for one that was made without source."""
    target: object = definition.create if inspect.isclass(definition.create) else inspect.unwrap(definition.run)
    run = inspect.unwrap(getattr(target, "run")) if inspect.isclass(target) else target  # noqa: B009
    if not callable(run):
        return NodeSource()
    file = inspect.getsourcefile(target) if isinstance(target, type | types.FunctionType) else None
    lines = _lines(Path(file), run) if file else {}
    try:
        top = inspect.getsourcelines(target)[1] if file else None  # type: ignore[arg-type]
    except OSError:
        top = None
    return NodeSource(file=file or "", line=top, parameters=dict(_parameters(run, lines)))


def _parameters(run: Callable[..., object], lines: dict[str, int]) -> Iterator[tuple[str, Declared]]:
    try:
        hints = typing.get_type_hints(run, include_extras=True)
    except (NameError, TypeError):
        hints = {}
    for parameter in inspect.signature(run).parameters.values():
        declared = Declared(line=lines.get(parameter.name), mismatch=_mismatch(hints.get(parameter.name)))
        if isinstance(parameter.default, bool | int | float | str):
            declared.default = parameter.default
        yield parameter.name, declared


def _mismatch(hint: object) -> str:
    """How an annotation contradicts its widget."""
    hint = _without_none(hint)
    if get_origin(hint) is not Annotated:
        return ""
    base, *markers = get_args(hint)
    base = _without_none(base)
    widget = next((marker for marker in reversed(markers) if isinstance(marker, Widget)), None)
    if widget is None or base in (Any, object):
        return ""
    base = get_args(base)[0] if get_origin(base) is list else base
    if isinstance(widget, Choice):
        return _choice_mismatch(base, widget)
    expected = PYTHON_TYPES.get(type(widget))
    if expected is None or base is expected:
        return ""
    return f"The annotation says {_name(base)}, clients give {expected.__name__}."


def _without_none(hint: object) -> object:
    if get_origin(hint) in (Union, types.UnionType):
        rest = [part for part in get_args(hint) if part is not type(None)]
        return rest[0] if len(rest) == 1 else hint
    return hint


def _choice_mismatch(base: object, widget: Choice) -> str:
    values: list[Json] = [*widget.values, *widget.extra]
    if get_origin(base) is Literal:
        missing = [value for value in values if value not in get_args(base)]
        return f"The annotation leaves out {', '.join(map(repr, missing))}." if missing else ""
    wrong = [value for value in values if isinstance(base, type) and type(value) is not base]
    wrong = [value for value in wrong if not (base is float and type(value) is int)]
    return f"The annotation says {_name(base)}, clients give {wrong[0]!r}." if wrong else ""


def _name(hint: object) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint)


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes())


def _lines(path: Path, function: object) -> dict[str, int]:
    """Line of each parameter of a function."""
    code = getattr(function, "__code__", None)
    if code is None:
        return {}
    for found in ast.walk(_tree(path)):
        if isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef):
            first = found.decorator_list[0].lineno if found.decorator_list else found.lineno
            if code.co_firstlineno in (first, found.lineno) and found.name == code.co_name:
                arguments = found.args
                return {a.arg: a.lineno for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    return {}


def module_level_import(path: Path, module: str) -> int | None:
    """The line of a file that imports a module (or a part of it) as soon as the file is imported."""
    for statement in _immediate(_tree(path).body):
        if module in _names(statement):
            return statement.lineno
    return None


def imported_modules(path: Path) -> set[str]:
    """Top-level names of all that a file imports anywhere, except for type checkers or where failing is allowed."""
    if path.suffix != ".py":
        return set()
    return {name for statement in _required(_tree(path)) for name in _names(statement)} - sys.stdlib_module_names


def _names(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.Import):
        return [alias.name.partition(".")[0] for alias in statement.names]
    if isinstance(statement, ast.ImportFrom) and statement.level == 0 and statement.module:
        return [statement.module.partition(".")[0]]
    return []


def _immediate(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when the file is imported."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If) and not _for_checkers(statement):
            yield from _immediate([*statement.body, *statement.orelse])
        elif isinstance(statement, ast.Try):
            yield from _immediate([*statement.body, *statement.orelse, *statement.finalbody])
        elif isinstance(statement, ast.With | ast.ClassDef):
            yield from _immediate(statement.body)


def _required(tree: ast.AST) -> Iterator[ast.stmt]:
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.Try) or (isinstance(child, ast.If) and _for_checkers(child)):
            continue
        if isinstance(child, ast.stmt):
            yield child
        yield from _required(child)


def _for_checkers(statement: ast.If) -> bool:
    return "TYPE_CHECKING" in ast.unparse(statement.test)
