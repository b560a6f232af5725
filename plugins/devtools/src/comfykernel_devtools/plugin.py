"""The door to the kernel: the commands ``new`` and ``check``, and the watcher behind ``serve --reload``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from comfykernel_sdk.hooks import hookimpl

from .settings import NAME, DevtoolsSettings

if TYPE_CHECKING:
    from asyncio import Task

    from comfykernel_sdk.hooks import LoadSettings, RegisterCommand, RegisterNodes
    from comfykernel_sdk.settings import Settings
    from comfykernel_sdk.transport import Kernel

    from .reload.reloading import Send

LOADED: Final = time.time()
"""When the server loaded its plugins, before it started any worker."""

_senders: dict[int, Send] = {}
_watchers: dict[int, Task[None]] = {}


@hookimpl
def register_commands(register: RegisterCommand, load_settings: LoadSettings) -> None:
    """Offer ``comfykernel new`` and ``comfykernel check``."""
    from .check.command import make_command as check_command
    from .new.command import command as new_command

    register(new_command)
    register(check_command(load_settings))


@hookimpl
def register_nodes(register: RegisterNodes, settings: Settings) -> None:
    """While sources are watched: a script by which open pages take up changed nodes. There are no nodes here."""
    if settings.of_plugin(NAME, DevtoolsSettings).reload:
        from pathlib import Path

        from comfykernel_sdk.nodes import NodePack

        register(NodePack(NAME, web_directory=str(Path(__file__).with_name("web"))))


@hookimpl(optionalhook=True)
def use_web_sockets(send: Send, kernel: Kernel) -> None:
    """Keep the way to open pages."""
    _senders[id(kernel)] = send


@hookimpl
def on_startup(kernel: Kernel) -> None:
    """Begin to watch the sources of node packs when ``reload`` is set."""
    settings = kernel.settings.of_plugin(NAME, DevtoolsSettings)
    if settings.reload:
        import asyncio

        from .reload.reloading import Reloader

        reloader = Reloader(kernel, settings, _senders.get(id(kernel)), begun=LOADED)
        _watchers[id(kernel)] = asyncio.create_task(reloader.run(), name="reload")


@hookimpl
def on_shutdown(kernel: Kernel) -> None:
    """Watch no longer."""
    _senders.pop(id(kernel), None)
    watcher = _watchers.pop(id(kernel), None)
    if watcher is not None:
        watcher.cancel()
