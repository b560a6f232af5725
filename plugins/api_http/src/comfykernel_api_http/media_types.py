"""Content types by file name, the same on every machine."""

from __future__ import annotations

import mimetypes
from typing import Final

UNKNOWN: Final = "application/octet-stream"
STYLES: Final = "text/css"

# What the standard library's own table lacks or what hosts disagree about.
_MORE: Final = {
    ".avif": "image/avif",
    ".flac": "audio/flac",
    ".glb": "model/gltf-binary",
    ".jxl": "image/jxl",
    ".m4a": "audio/mp4",
    ".mkv": "video/x-matroska",
    ".mjs": "text/javascript",
    ".js": "text/javascript",
    ".md": "text/markdown",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
    ".xht": "application/xhtml+xml",
    ".xhtml": "application/xhtml+xml",
}

# A browser may run what is in these: they are offered for download instead.
_ACTIVE: Final = frozenset(
    {
        "application/ecmascript",
        "application/javascript",
        "application/x-javascript",
        "application/xhtml+xml",
        "application/x-shockwave-flash",
        "text/ecmascript",
        "text/html",
        "text/javascript",
    }
)

_types: Final = mimetypes.MimeTypes(filenames=())


def media_type(filename: str) -> str:
    """Content type of a file by its ending."""
    _, dot, ending = filename.rpartition(".")
    more = _MORE.get(dot + ending.lower())
    if more is not None:
        return more
    kind, encoding = _types.guess_type(filename.replace(":", "_"), strict=False)
    return UNKNOWN if kind is None or encoding is not None else kind


def safe_media_type(filename: str, *, keep_css: bool = False) -> tuple[str, bool]:
    """Content type for a file that a stranger may have made, and whether it must be offered for download.

    Only pictures are shown by themselves. A page may play a film or read a text all the same.
    """
    kind = media_type(filename)
    if kind in _ACTIVE or kind.endswith(("+xml", "/xml")):
        return UNKNOWN, True
    if kind == STYLES:
        return (kind, False) if keep_css else (UNKNOWN, True)
    return kind, not kind.startswith("image/")
