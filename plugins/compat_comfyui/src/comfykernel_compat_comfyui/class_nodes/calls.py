"""Calls the function of a class: values cross the border, an interrupt of the pack's kind becomes one of ours."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from comfykernel_sdk.errors import Interrupted, NodeDefinitionError

from ..running_nodes import InterruptProcessingException, node_runs, stop_if_interrupted
from .borders import to_pack
from .results import read_return_value


def call_node(cls: type, types: Sequence[str], instance: object, /, **inputs: object) -> object:
    """Call ``FUNCTION`` of an instance; gives what the engine takes, or a coroutine of it.

    Raises:
        Interrupted: the prompt was cancelled.
        WrongReturnValue: the function returned what no node may return.
        NodeDefinitionError: the class has no function.
    """
    function = _function_of(cls, instance)
    arguments = {name: to_pack(value) for name, value in inputs.items()}
    with node_runs() as context, interruptible(), without_gradients():
        stop_if_interrupted(context)
        returned = function(**arguments)
    if inspect.isawaitable(returned):
        return _awaited(returned, types, cls.__qualname__)
    return read_return_value(returned, types, cls.__qualname__, may_leave_out=True)


def _function_of(cls: type, instance: object) -> Callable[..., object]:
    """The method that ``FUNCTION`` names. Some packs have classes that only stand in menus, without one."""
    name = getattr(cls, "FUNCTION", None)
    function = getattr(instance, name, None) if isinstance(name, str) else None
    if not callable(function):
        raise NodeDefinitionError(f"{cls.__qualname__} can't run: its FUNCTION names no method: {name!r}.")
    found: Callable[..., object] = function
    return found


async def _awaited(returned: Awaitable[object], types: Sequence[str], name: str) -> object:
    with node_runs(), interruptible():
        return read_return_value(await returned, types, name, may_leave_out=True)


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn the interrupt that packs raise into the engine's."""
    try:
        yield
    except InterruptProcessingException as error:
        raise Interrupted from error


def without_gradients() -> AbstractContextManager[object]:
    """Packs count on a server that needs no gradients; nothing happens where torch was not imported."""
    torch = sys.modules.get("torch")
    return nullcontext() if torch is None else torch.no_grad()
