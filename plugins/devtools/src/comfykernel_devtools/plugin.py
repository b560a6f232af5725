"""The door to the kernel: the commands ``new`` and ``check``, and the watcher behind ``serve --reload``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfykernel_sdk.hooks import hookimpl

from . import hookspecs
from .settings import NAME, DevtoolsSettings

if TYPE_CHECKING:
    import asyncio

    from comfykernel_sdk.hooks import LoadSettings, RegisterCommand
    from comfykernel_sdk.transport import Kernel

__all__ = ["hookspecs"]

_watching: set[asyncio.Task[None]] = set()


@hookimpl
def register_commands(register: RegisterCommand, load_settings: LoadSettings) -> None:
    """Offer ``comfykernel new`` and ``comfykernel check``."""
    from .check.command import make_command as check_command
    from .new.command import command as new_command

    register(new_command)
    register(check_command(load_settings))


@hookimpl
def on_startup(kernel: Kernel) -> None:
    """Begin to watch the sources of node packs when ``reload`` is set."""
    settings = kernel.settings.of_plugin(NAME, DevtoolsSettings)
    if settings.reload:
        import asyncio

        from .reload.reloading import Reloader

        _watching.add(asyncio.create_task(Reloader(kernel, settings).run(), name="reload"))


@hookimpl
def on_shutdown(kernel: Kernel) -> None:
    """Watch no longer."""
    while _watching:
        _watching.pop().cancel()
