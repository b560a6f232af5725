"""Door to the kernel: offers the transport ``http``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfykernel_sdk.hooks import hookimpl

from . import hookspecs as hookspecs

if TYPE_CHECKING:
    from comfykernel_sdk.hooks import RegisterTransport
    from comfykernel_sdk.settings import Settings
    from comfykernel_sdk.transport import Transport


@hookimpl
def register_transports(register: RegisterTransport) -> None:
    """Give the transport ``http``; its libraries are imported when it is made."""
    register("http", _make)


def _make(settings: Settings) -> Transport:
    from .transport import HttpTransport

    return HttpTransport(settings)
