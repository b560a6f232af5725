"""Asks the validators that nodes bring along, before a prompt is accepted."""

from __future__ import annotations

import asyncio
from inspect import isawaitable
from typing import TYPE_CHECKING

from comfykernel_sdk.events import NodePlace
from comfykernel_sdk.scheduler import ValidationAnswer

from .context import RunContext, current_node
from .failures import node_traceback, type_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from comfykernel_sdk.json_types import JsonObject
    from comfykernel_sdk.scheduler import ValidationQuestion

    from .context import RunServices
    from .node_class import NodeClass


def answer_questions(
    classes: Mapping[str, NodeClass], questions: Iterable[ValidationQuestion], services: RunServices
) -> list[ValidationAnswer]:
    """Call the validators, one after the other. Blocks; not for a thread with a running event loop.

    ``services`` is what the validators see of the worker.
    """
    answers = []
    for question in questions:
        with current_node(RunContext(services, NodePlace(question.node_id, question.node_id))):
            answers.append(_answer(classes.get(question.class_type), question))
    return answers


def _answer(node_class: NodeClass | None, question: ValidationQuestion) -> ValidationAnswer:
    validate = node_class.definition.validate if node_class is not None else None
    if node_class is None or validate is None:
        return ValidationAnswer(node_id=question.node_id)
    arguments: dict[str, object] = dict(question.constants)
    if node_class.spec.checks_types:
        arguments["input_types"] = dict(question.input_types)
    definition = node_class.definition
    try:
        instance = definition.create() if definition.create and not hasattr(validate, "__wrapped__") else None
        result = validate(instance, **arguments)
        if isawaitable(result):
            result = asyncio.run(_await(result))
    except Exception as error:  # noqa: BLE001 - the code of a node pack
        report: JsonObject = {
            "exception_message": str(error), "exception_type": type_name(error), "traceback": [*node_traceback(error)],
        }  # fmt: skip
        return ValidationAnswer(node_id=question.node_id, result=False, error=report)
    answer = result if isinstance(result, (bool, str)) else bool(result)
    return ValidationAnswer(node_id=question.node_id, result=answer)


async def _await(result: object) -> object:
    assert isawaitable(result)
    return await result
