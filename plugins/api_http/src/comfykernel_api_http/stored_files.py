"""Answers that hold a file: conditional requests, one range, sent in pieces."""

from __future__ import annotations

import asyncio
import email.utils
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from .answers import Answer
from .errors import RequestRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import BinaryIO

    from comfykernel_sdk.storage import FileInfo

    from .asgi import HeaderList, Send

PIECE: Final = 512 * 1024
"""Bytes read at once; a smaller file is one message."""

_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")
_PLAIN_NAME: Final = re.compile(r'[^"\\\x00-\x1f\x7f-\U0010ffff]*')


class FileAnswer(Answer):
    """A file, or one range of it."""

    __slots__ = ("_left", "_stream")

    def __init__(
        self, stream: BinaryIO, first: bytes, size: int, *, status: int, media: bytes, headers: HeaderList
    ) -> None:
        super().__init__(first, status=status, media=media, headers=headers)
        self._stream = stream
        self._left = size - len(first)

    async def send(self, send: Send, common: HeaderList, *, head: bool) -> None:
        """Write it piece by piece."""
        try:
            size = len(self.body) + self._left
            headers: HeaderList = [(b"content-length", b"%d" % size), (b"content-type", self.media or b"")]
            headers += [*self.headers, *common]
            await send({"type": "http.response.start", "status": self.status, "headers": headers})
            if head:
                await send({"type": "http.response.body", "body": b""})
                return
            await send({"type": "http.response.body", "body": self.body, "more_body": self._left > 0})
            while self._left > 0:
                piece = await asyncio.to_thread(self._stream.read, min(PIECE, self._left))
                # A file that shrank while it was sent: the length was promised, so the connection must break.
                if not piece:
                    raise ConnectionError("the file became shorter while it was sent")
                self._left -= len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": self._left > 0})
        finally:
            self._stream.close()


def file_answer(
    open_file: Callable[[], tuple[FileInfo, BinaryIO]],
    request_headers: Mapping[bytes, bytes],
    media: str,
    headers: HeaderList,
) -> Answer:
    """The answer for a file as the request's conditions ask for it. Reads the disk: call it in a thread.

    Raises:
        RequestRefused: 416, the range lies outside of the file.
    """
    info, stream = open_file()
    try:
        tag = b'"%x-%x"' % (int(info.modified * 1e6), info.size)
        changed = email.utils.formatdate(info.modified, usegmt=True).encode()
        headers = [(b"etag", tag), (b"last-modified", changed), (b"accept-ranges", b"bytes"), *headers]
        if _unchanged(request_headers, tag, changed):
            stream.close()
            return Answer(status=304, media=None, headers=headers)
        start, end, status = 0, info.size, 200
        wanted = request_headers.get(b"range")
        if wanted is not None and request_headers.get(b"if-range", tag) in (tag, changed):
            start, end, status = parse_range(wanted.decode("latin-1"), info.size)
        if status == 206:
            headers.append((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, info.size)))
            stream.seek(start)
        first = stream.read(min(PIECE, end - start))
    except BaseException:
        stream.close()
        raise
    return FileAnswer(stream, first, end - start, status=status, media=media.encode(), headers=headers)


def parse_range(header: str, size: int) -> tuple[int, int, int]:
    """Start and end (exclusive) of what a Range header asks for, and the status: 206, or 200 for the whole file.

    Several ranges at once, and what is no range of bytes, give the whole file.

    Raises:
        RequestRefused: 416, it lies outside.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or not (match[1] or match[2]):
        return 0, size, 200
    if match[1]:
        start, end = int(match[1]), min(int(match[2]) + 1, size) if match[2] else size
    else:
        start, end = max(size - int(match[2]), 0), size
    if start >= size or start >= end:
        raise RequestRefused(
            416, "range_not_satisfiable", "The range lies outside of the file.",
            headers=[(b"content-range", b"bytes */%d" % size)],
        )  # fmt: skip
    return start, end, 206


def disposition(filename: str, *, download: bool = False) -> tuple[bytes, bytes]:
    """The header that names a file."""
    mode = "attachment; " if download else ""
    if _PLAIN_NAME.fullmatch(filename):
        value = f'{mode}filename="{filename}"'
    else:
        plain = "".join(c if _PLAIN_NAME.fullmatch(c) else "_" for c in filename)
        value = f"{mode}filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
    return b"content-disposition", value.encode("ascii")


def _unchanged(headers: Mapping[bytes, bytes], tag: bytes, changed: bytes) -> bool:
    known = headers.get(b"if-none-match")
    if known is not None:
        return known.strip() == b"*" or tag in [each.strip().removeprefix(b"W/") for each in known.split(b",")]
    return headers.get(b"if-modified-since") == changed
