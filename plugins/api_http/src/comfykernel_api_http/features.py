"""What the server says that it can do.

Programs are told what they have always been told. An official page of today (or whoever announces what only it
knows) is told of the newer routes as well: of those that are there, and of those that are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .shapes import is_page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from comfykernel_sdk.json_types import JsonObject

PREVIEW_METADATA: Final = "supports_preview_metadata"
TEXT_METADATA: Final = "supports_progress_text_metadata"
"""Texts of nodes tell their prompt: to clients that announce the same."""

OF_THE_PAGE: Final[JsonObject] = {TEXT_METADATA: True, "node_replacements": True, "assets": False}


def server_features(*, max_upload_size: int, headers: Mapping[bytes, bytes]) -> JsonObject:
    """The flags for one caller."""
    features: JsonObject = {PREVIEW_METADATA: True, "max_upload_size": max_upload_size}
    # A browser names the origin of a page that opens a WebSocket; programs have none.
    return {**features, **OF_THE_PAGE} if is_page(headers) or b"origin" in headers else features
