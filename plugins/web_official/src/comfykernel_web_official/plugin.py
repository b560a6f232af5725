"""Adds the page, its files and its data to the transport ``http``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfykernel_sdk.hooks import hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable

    from comfykernel_sdk.transport import Kernel


@hookimpl(optionalhook=True)
def register_http_routes(register: Callable[..., None], kernel: Kernel) -> None:
    """Give the lists that the page asks for; raises PluginError when the page's package can't be used."""
    from .page_data import add_routes
    from .published import check_page

    check_page()
    add_routes(register, kernel)


@hookimpl(optionalhook=True)
def register_web_directories(register: Callable[..., None], kernel: Kernel) -> None:
    """Give the files of the page, its templates and docs, and of node packs."""
    from .page_files import add_directories

    add_directories(register, kernel)
