"""What this distribution gives to the kernel: the node packs of the peer, as packs of comfykernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfykernel_sdk.hooks import hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from comfykernel_sdk.hooks import RegisterModelFolder, RegisterNodes
    from comfykernel_sdk.json_types import Json
    from comfykernel_sdk.settings import Settings
    from comfykernel_sdk.storage import Storage
    from comfykernel_sdk.transport import Kernel


@hookimpl
def register_model_folders(register: RegisterModelFolder, settings: Settings) -> None:
    """Add the folders of packs that the settings name."""
    from pathlib import Path

    from .compat_settings import NAME, CompatSettings

    for folder in settings.of_plugin(NAME, CompatSettings).custom_nodes:
        register("custom_nodes", Path(folder).expanduser().absolute())


@hookimpl
def register_nodes(register: RegisterNodes, settings: Settings, storage: Storage | None) -> None:
    """Give every pack that is found; imports torch and all of them, unless there are none."""
    from .loading.worker_setup import load_into_worker

    load_into_worker(register, settings, storage)


@hookimpl(optionalhook=True)
def register_reload_folders(register: Callable[[Path], None], settings: Settings) -> None:
    """Have the folders of packs watched."""
    from pathlib import Path

    from .compat_settings import NAME, CompatSettings

    named = settings.of_plugin(NAME, CompatSettings).custom_nodes
    for folder in (Path(settings.paths.base) / "custom_nodes", *(Path(name).expanduser() for name in named)):
        register(folder.absolute())


@hookimpl(optionalhook=True)
def register_route_finders(register: Callable[..., None], kernel: Kernel) -> None:
    """Serve the routes of packs."""
    from .server_side.server_part import server_part

    register(server_part(kernel).proxy.find)


@hookimpl(optionalhook=True)
def use_web_sockets(send: Callable[[str, Json, str | None], None], kernel: Kernel) -> None:
    """Pass on what packs tell clients outside of a run."""
    from .server_side.server_part import server_part

    server_part(kernel).watch.listen(send)


@hookimpl
def on_startup(kernel: Kernel) -> None:
    """Look at posted prompts, and tell interfaces anew when clients ask for nodes."""
    from .server_side.server_part import server_part

    part = server_part(kernel)
    kernel.on_submit(part.watch.change_prompt)
    kernel.on_read_nodes(part.watch.refresh)


@hookimpl
def on_shutdown(kernel: Kernel) -> None:
    """Close all connections to workers."""
    from .server_side.server_part import close_server_part

    close_server_part(kernel)
