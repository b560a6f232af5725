"""What handlers share: the kernel and the transport's own parts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from .authentication import Authentication
from .ended_jobs import EndedJobs
from .file_owners import FileOwners
from .log_lines import LogLines
from .queue_items import QueueItems
from .sockets.hub import Hub

if TYPE_CHECKING:
    from litestar.types import HTTPScope

    from comfykernel_sdk.transport import Kernel

    from .asgi import Scope

DEFAULT_USER: Final = "default"

TOKEN_USER: Final = "comfykernel.user"
"""Member of the scope of a request that came with a token: the token's user."""

PICTURES_AT_ONCE: Final = 2
"""Pictures that are decoded at the same time; each may take hundreds of megabytes."""


class Services:
    """One for each running transport.

    Attributes:
        kernel: the kernel's face for transports.
        owners: whose a stored file is, where callers are bound to users.
        hub: the WebSocket connections.
        ended: ended jobs in the forms in which clients see them.
        queue: jobs that wait or run in the form in which clients see them.
        logs: the last lines of the log.
        max_body: largest body of a request, in bytes.
        authentication: who sent a request.
        addresses: where clients reach the server.
        pictures: to be held while a picture is worked on.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.max_body = int(kernel.settings.http.max_upload_mb * 1024 * 1024)
        self.authentication = Authentication(kernel.settings, kernel.users)
        self.owners = FileOwners(kernel.settings.paths.folder("state"))
        self.hub = Hub(kernel, self.owners, users_are_bound=self.users_are_bound)
        self.ended = EndedJobs(kernel)
        self.queue = QueueItems(kernel)
        self.logs = LogLines(self.hub.send_logs)
        self.addresses: list[str] = []
        self.pictures = asyncio.Semaphore(PICTURES_AT_ONCE)

    def user_of(self, scope: Scope | HTTPScope) -> str:
        """The user of a request, when the server has several: the token's, else the one that it names."""
        if not self.kernel.settings.http.multi_user:
            return DEFAULT_USER
        user = self.bound_user(scope)
        if user is None:
            named = dict(scope["headers"]).get(b"comfy-user", b"")
            user = named.decode("latin-1") or DEFAULT_USER
        return user

    def bound_user(self, scope: Scope | HTTPScope) -> str | None:
        """The only user whose jobs and files this caller may see and change; nothing: those of all.

        Who a token is bound to is certain. Without tokens users are what callers call themselves: they keep settings
        apart, as clients know it, and share queue, history and files.
        """
        return cast("str | None", scope.get(TOKEN_USER)) if self.kernel.settings.http.multi_user else None

    def is_own(self, scope: Scope | HTTPScope, owner: str) -> bool:
        """Whether a caller may give orders to a connection of ``owner``.

        Without tokens a browser's socket belongs to the default user: it can't name another one as requests do.
        """
        return owner == self.user_of(scope) or (owner == DEFAULT_USER and not self.users_are_bound())

    def users_are_bound(self) -> bool:
        """Whether every caller is bound to a user."""
        return self.kernel.settings.http.multi_user and self.authentication.required
