"""Code of nodes whose failures something can be done about, such as memory that is out and can be freed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias, final

import msgspec

if TYPE_CHECKING:
    from .nodes import NodeDefinition

Mend: TypeAlias = Callable[[Exception], "Exception | None"]


def with_second_attempt(definition: NodeDefinition, mend: Mend) -> NodeDefinition:
    """A node that is called once more when ``mend`` has done something about its failure.

    ``mend(error)`` gives ``None`` when the error is none of its business; otherwise the error to fail with if that
    was the last attempt. Nodes that leave something outside (output nodes) or change their inputs in place have one
    attempt; coroutines stay as they are.
    """
    if definition.is_async or isinstance(definition.run, Mended):
        return definition
    once = definition.spec.output_node or definition.changes_inputs
    return msgspec.structs.replace(definition, run=Mended(definition.run, mend, attempts=1 if once else 2))


@final
class Mended:
    """The code of a node as it is called; stands in the sdk so that tracebacks begin with the node's own code."""

    __slots__ = ("attempts", "mend", "run")

    def __init__(self, run: Callable[..., object], mend: Mend, *, attempts: int) -> None:
        self.run = run
        self.mend = mend
        self.attempts = attempts

    def __call__(self, *arguments: object, **inputs: object) -> object:
        for left in reversed(range(self.attempts)):
            try:
                return self.run(*arguments, **inputs)
            except Exception as error:
                told = self.mend(error)
                if told is None:
                    raise
                if not left:
                    raise told.with_traceback(error.__traceback__) from error
        raise AssertionError("a node has at least one attempt")
