"""What handlers share: the kernel and the transport's own parts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from .history_items import HistoryItems
from .log_lines import LogLines
from .sockets.hub import Hub

if TYPE_CHECKING:
    from collections.abc import Mapping

    from comfykernel_sdk.transport import Kernel

DEFAULT_USER: Final = "default"

PICTURES_AT_ONCE: Final = 2
"""Pictures that are decoded at the same time; each may take hundreds of megabytes."""


class Services:
    """One for each running transport.

    Attributes:
        kernel: the kernel's face for transports.
        hub: the WebSocket connections.
        history: ended jobs in the forms in which clients see them.
        logs: the last lines of the log.
        max_body: largest body of a request, in bytes.
        addresses: where clients reach the server.
        pictures: to be held while a picture is worked on.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.max_body = int(kernel.settings.http.max_upload_mb * 1024 * 1024)
        self.hub = Hub(kernel, max_upload_size=self.max_body)
        self.history = HistoryItems()
        self.logs = LogLines(self.hub.send_logs)
        self.addresses: list[str] = []
        self.pictures = asyncio.Semaphore(PICTURES_AT_ONCE)

    def user_of(self, headers: Mapping[bytes, bytes]) -> str:
        """The user that a request names, when the server has several."""
        if not self.kernel.settings.http.multi_user:
            return DEFAULT_USER
        return headers.get(b"comfy-user", b"").decode("latin-1") or DEFAULT_USER
