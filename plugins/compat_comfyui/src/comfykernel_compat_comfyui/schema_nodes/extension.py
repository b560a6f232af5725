"""Packs written with ``comfy_api``: their entry function gives an extension, that gives node classes."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Coroutine
from contextvars import copy_context
from types import ModuleType
from typing import TYPE_CHECKING, TypeVar

from comfykernel_sdk.errors import PluginError

from .definition import is_schema_node
from .replacements import loading_pack

if TYPE_CHECKING:
    from .comfy_node import ComfyNode

T = TypeVar("T")
ENTRY_FUNCTION = "comfy_entrypoint"


class ComfyExtension:
    """What an entry function gives: the nodes of a pack, and what is done once when it is loaded."""

    async def on_load(self) -> None:
        """Called once, before the nodes are asked for."""

    async def get_node_list(self) -> list[type[ComfyNode]]:
        """The node classes."""
        raise NotImplementedError(f"{type(self).__qualname__} has no get_node_list.")


def extension_nodes(module: ModuleType) -> list[type]:
    """The node classes of a pack's module; raises whatever the pack raises.

    Raises:
        PluginError: its entry function gives no extension, or that gives what are no node classes.
    """
    return run_now(_nodes(module))


async def _nodes(module: ModuleType) -> list[type]:
    token = loading_pack.set(module.__name__)
    try:
        extension = getattr(module, ENTRY_FUNCTION)()
        if inspect.isawaitable(extension):
            extension = await extension
        if not isinstance(extension, ComfyExtension):
            raise PluginError(f"{ENTRY_FUNCTION} of {module.__name__} gives {extension!r}, which is no ComfyExtension.")
        await extension.on_load()
        found = extension.get_node_list()
        classes = list(await found if isinstance(found, Awaitable) else found)
    finally:
        loading_pack.reset(token)
    wrong = [cls for cls in classes if not is_schema_node(cls)]
    if wrong:
        raise PluginError(f"get_node_list of {module.__name__} gives what is no node class: {wrong!r}.")
    return classes


def run_now(coroutine: Coroutine[object, object, T]) -> T:
    """Run to the end; in a thread of its own where this one has a running event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    results: list[T] = []
    errors: list[BaseException] = []
    context = copy_context()

    def run() -> None:
        try:
            results.append(context.run(asyncio.run, coroutine))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=run, name="pack extension")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
