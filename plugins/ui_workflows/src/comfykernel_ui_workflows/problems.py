"""What is wrong with a workflow, by node and field, and the error that tells all of it at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from comfykernel_sdk.errors import InvalidPrompt

if TYPE_CHECKING:
    from comfykernel_sdk.json_types import Json, JsonObject

MOST_TOLD: Final = 50
"""Problems told of one workflow; a damaged file of thousands of nodes has as many, all alike."""

LONGEST_NAME: Final = 100
"""Characters of a name from the file that a message repeats."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong.

    ``type`` is stable: ``invalid_workflow`` (not of the editor's form), ``unknown_node_type``, ``missing_link``,
    ``link_cycle``, ``subgraph_cycle``, ``subgraph_too_deep``, ``workflow_too_large``. ``node_id`` is the id that the
    node has in the prompt (``12:5``), empty where no node is to blame; ``field`` the place inside it.
    """

    type: str
    message: str
    hint: str
    node_id: str = ""
    class_type: str = ""
    field: str = ""


def shortened(name: object) -> str:
    """A name from the file, fit for a message."""
    text = str(name)
    return text if len(text) <= LONGEST_NAME else text[:LONGEST_NAME] + "..."


def refusal(problems: list[Problem]) -> InvalidPrompt:
    """The error for these problems, at least one: its type is theirs where they agree, else ``invalid_workflow``.

    The details have a line for each; ``node_errors`` has those of nodes in the form of a refused prompt.
    """
    first, told = problems[0], problems[:MOST_TOLD]
    extra: JsonObject = {"hint": first.hint}
    if first.node_id:
        extra |= {"node_id": first.node_id, "class_type": first.class_type}
    if first.field:
        extra["field"] = first.field
    lines = [_where(first)] if len(problems) == 1 else [_line(problem) for problem in told]
    if len(problems) > len(told):
        lines.append(f"and {len(problems) - len(told)} more")
    return InvalidPrompt(
        first.message if len(problems) == 1 else f"The workflow has {len(problems)} problems.",
        type=first.type if len({problem.type for problem in problems}) == 1 else "invalid_workflow",
        details="\n".join(lines),
        hint=first.hint,
        extra_info=extra,
        node_errors=_by_node(told),
    )


def _where(problem: Problem) -> str:
    where = f"Node ID '#{problem.node_id}'" if problem.node_id else ""
    if problem.class_type:
        where += f" ({problem.class_type})"
    return ", ".join(part for part in (where, problem.field) if part)


def _line(problem: Problem) -> str:
    return " ".join((f"{_where(problem) or 'The workflow'}:", problem.message, problem.hint))


def _by_node(problems: list[Problem]) -> dict[str, Json]:
    entries: dict[str, Json] = {}
    for problem in problems:
        if problem.node_id:
            errors: list[Json] = [_error(each) for each in problems if each.node_id == problem.node_id]
            entries.setdefault(
                problem.node_id, {"errors": errors, "dependent_outputs": [], "class_type": problem.class_type}
            )
    return entries


def _error(problem: Problem) -> JsonObject:
    extra: JsonObject = {"input_name": problem.field} if problem.field else {}
    details = f"{problem.field}: {problem.hint}" if problem.field else problem.hint
    return {"type": problem.type, "message": problem.message, "details": details, "extra_info": extra}
