"""Node information: /object_info."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..answers import Answer

if TYPE_CHECKING:
    from ..request import Request


async def get_node_info(request: Request) -> Answer:
    """GET /object_info: all nodes, compressed for those who understand it, and not sent again to those who have it."""
    info = await request.services.kernel.object_info()
    compressed = accepts_gzip(request.headers.get(b"accept-encoding", b""))
    tag = info.etag.encode()
    if compressed:
        # Two encodings are two entities.
        tag = tag[:-1] + b'-gzip"'
    headers = [(b"etag", tag), (b"cache-control", b"no-cache"), (b"vary", b"Accept-Encoding")]
    known = request.headers.get(b"if-none-match")
    if known is not None and (known == b"*" or tag in [t.strip().removeprefix(b"W/") for t in known.split(b",")]):
        return Answer(status=304, media=None, headers=headers)
    if compressed:
        return Answer(info.gzip, headers=[(b"content-encoding", b"gzip"), *headers])
    return Answer(info.json, headers=headers)


async def get_node_class_info(request: Request) -> Answer:
    """GET /object_info/{node_class}: one node, or an empty object."""
    return Answer(await request.services.kernel.object_info_of(request.path_value))


def accepts_gzip(header: bytes) -> bool:
    """Whether an Accept-Encoding header takes gzip."""
    for item in header.lower().split(b","):
        coding, _, weight = item.partition(b";")
        if coding.strip() in (b"gzip", b"*"):
            return weight.replace(b" ", b"") not in (b"q=0", b"q=0.0", b"q=0.00", b"q=0.000")
    return False
